//! From a model file to a [`Model`]: whole into memory, hashed, parsed, checked. Never mapped: a mapping of a file that
//! somebody truncates kills the process.

use std::collections::BTreeMap;
use std::fs::{File, Metadata as FileMetadata, OpenOptions};
use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::header;
use super::layers::TensorSpec;
use super::validate::{check_shapes, check_values, invalid};
use super::{Model, Tensor};
use crate::error::{Error, ErrorKind, Result, try_reserve};

/// A file above this is no model: over 40 times the paper's network in f32.
const MAX_FILE_BYTES: u64 = 4 << 30;

impl Model {
    /// Reads a model file whole into memory, then as [`from_bytes`](Self::from_bytes).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for what is no regular file or cannot be read, [`ErrorKind::InvalidModel`] for a file above 4 GiB
    /// or with wrong contents, [`ErrorKind::OutOfMemory`].
    pub fn from_file(path: &Path) -> Result<Model> {
        let bytes = read_whole(path)?;
        Model::from_bytes(&bytes).map_err(|error| error.context(path.display()))
    }

    /// Parses and validates a model file. Tensors in f16 and bf16 become f32.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`], naming the tensor or key that breaks a rule; [`ErrorKind::OutOfMemory`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        let (header, data) = header::split(bytes)?;
        let config = header.config()?;
        config.validate()?;
        let specs: Vec<TensorSpec> = config.tensors().collect();
        let shapes = header.tensors.iter().map(|(name, info)| (name.as_str(), info.shape.as_slice())).collect();
        check_shapes(&specs, &shapes)?;
        let places = places(header.tensors, data.len())?;
        let mut tensors = BTreeMap::new();
        for spec in specs {
            let tensor = tensor(&spec, &places, data)?;
            tensors.insert(spec.name, tensor);
        }
        Ok(Model { config, tensors, sha256 })
    }
}

/// Checks that the tensors fill the data exactly, one behind the other, each with as many bytes as its shape needs.
fn places(tensors: BTreeMap<String, TensorInfo>, data: usize) -> Result<Metadata> {
    for (name, info) in &tensors {
        let (start, end) = info.data_offsets;
        let bytes = element_bytes(name, info.dtype)?;
        let needed = info.shape.iter().try_fold(bytes, |product, &size| product.checked_mul(size));
        if end.checked_sub(start) != needed {
            let needed = needed.map_or("more than exist".to_owned(), |needed| needed.to_string());
            return Err(invalid(format!("tensor `{name}` lies at bytes {start} to {end} of the data: its shape needs {needed} bytes")));
        }
    }
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let places = Metadata::new(None, tensors).map_err(|error| invalid(format!("the tensors overlap or leave gaps: {error}")))?;
    if places.data_len() != data {
        return Err(invalid(format!("the tensors take {} bytes, but the file holds {data} behind its header", places.data_len())));
    }
    Ok(places)
}

/// Bytes of one value, for the types that weights are stored in.
fn element_bytes(name: &str, dtype: Dtype) -> Result<usize> {
    match dtype {
        Dtype::F32 => Ok(4),
        Dtype::F16 | Dtype::BF16 => Ok(2),
        other => Err(invalid(format!("tensor `{name}` is of type {other:?}: store it as F32, F16 or BF16"))),
    }
}

/// One tensor, converted to f32 and its values checked.
fn tensor(spec: &TensorSpec, places: &Metadata, data: &[u8]) -> Result<Tensor> {
    let name = &spec.name;
    let lost = || invalid(format!("tensor `{name}` lies outside of the file"));
    let info = places.info(name).ok_or_else(lost)?;
    let bytes = data.get(info.data_offsets.0..info.data_offsets.1).ok_or_else(lost)?;
    let mut values: Vec<f32> = Vec::new();
    try_reserve(&mut values, bytes.len() / element_bytes(name, info.dtype)?, &format!("tensor {name}"))?;
    match info.dtype {
        Dtype::F16 => values.extend(bytes.as_chunks().0.iter().map(|&value| f16::from_le_bytes(value).to_f32())),
        Dtype::BF16 => values.extend(bytes.as_chunks().0.iter().map(|&value| bf16::from_le_bytes(value).to_f32())),
        _ => values.extend(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value))),
    }
    check_values(spec, &values)?;
    Ok(Tensor { shape: spec.shape.clone(), data: values })
}

/// A regular file's bytes.
fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let fail = |error: &std::io::Error| Error::io(path, "read the model file", error);
    // Looked at before it is opened, as opening a device may already do something; and after, as it may have been exchanged.
    check_regular(path, &std::fs::metadata(path).map_err(|error| fail(&error))?)?;
    let file = open(path).map_err(|error| fail(&error))?;
    let metadata = file.metadata().map_err(|error| fail(&error))?;
    check_regular(path, &metadata)?;
    if metadata.len() > MAX_FILE_BYTES {
        let length = metadata.len();
        return Err(invalid(format!("{}: {length} bytes are more than a model file may hold, {MAX_FILE_BYTES}", path.display())));
    }
    let length = usize::try_from(metadata.len()).map_err(|_| Error::out_of_memory("the model file", usize::MAX))?;
    let mut bytes = Vec::new();
    try_reserve(&mut bytes, length, "the model file")?;
    // A file that grows meanwhile is read no further than the room reserved for it.
    file.take(metadata.len()).read_to_end(&mut bytes).map_err(|error| fail(&error))?;
    if bytes.len() != length {
        let read = bytes.len();
        return Err(Error::new(
            ErrorKind::Io,
            format!("cannot read the model file {}: it ended after {read} of {length} bytes, so it was changed meanwhile", path.display()),
        ));
    }
    Ok(bytes)
}

fn check_regular(path: &Path, metadata: &FileMetadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() { "a directory" } else { "a pipe, socket or device" };
    Err(Error::new(ErrorKind::Io, format!("cannot read the model file {}: it is {what}, not a regular file", path.display())))
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Opening a pipe that took the file's place waits for a writer, maybe forever, unless told not to.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}

/// Two lower-case digits per byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;

    fn refused(path: &Path) -> Error {
        Model::from_file(path).unwrap_err()
    }

    #[test]
    fn a_file_gives_the_same_model_as_its_bytes() {
        let model = Model::untrained(Config::spinect(&[2]), 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, model.to_bytes().unwrap()).unwrap();
        assert_eq!(Model::from_file(&path).unwrap(), model);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_io_error_that_names_it() {
        let error = refused(Path::new("/there/is/no/model.safetensors"));
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains("/there/is/no/model.safetensors"), "{error}");
    }

    #[test]
    fn a_directory_is_an_io_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = refused(folder.path());
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains("directory"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_and_an_endless_device_are_io_errors_and_do_not_hang() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let name = std::ffi::CString::new(pipe.as_os_str().as_bytes()).unwrap();
        // SAFETY: `name` is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = refused(path);
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.message().contains("pipe, socket or device"), "{error}");
        }
    }

    #[test]
    fn an_absurdly_large_file_is_refused_before_it_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        if let Err(error) = file.as_file().set_len(1 << 40) {
            eprintln!("SKIPPED: no sparse files here ({error})");
            return;
        }
        let error = refused(file.path());
        assert_eq!(error.kind(), ErrorKind::InvalidModel);
        assert!(error.message().contains("1099511627776 bytes"), "{error}");
    }

    #[test]
    fn wrong_contents_are_reported_with_the_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = refused(file.path());
        assert_eq!(error.kind(), ErrorKind::InvalidModel);
        assert!(error.message().contains(&*file.path().to_string_lossy()), "{error}");
    }
}
