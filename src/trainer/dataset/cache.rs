//! Preprocessed cases on disk: one file per case, found by what it was made from, remade when it is damaged.
//!
//! A file is a magic line, the SHA-256 of everything behind it, dimensions (u64) and spacing (f64) along D, H, W, then
//! Hounsfield units (i16) and classes (u8); all little endian.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, try_vec};
use crate::io::{ReadOptions, write_atomically};

use super::case::Case;
use super::manifest::Pair;

/// What a file begins with; to change with its layout and with everything that changes a case made from the same files.
const MAGIC: &[u8; 16] = b"spinect case 1\n\0";
/// Bytes behind the magic and the hash, before the voxels.
const HEADER: usize = 48;
/// Bytes that are read, written and hashed at a time.
const CHUNK: usize = 1 << 16;

/// What a case is made from, as a SHA-256: the bytes of both files, what the label values mean, which transform places the
/// voxels. Nothing else changes it: clip, whitening and resampling come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of a pair. Reads both files.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn of(pair: &Pair, options: &ReadOptions) -> Result<Key> {
        let mut hash = Sha256::new();
        hash.update(MAGIC);
        for path in [&pair.image, &pair.label] {
            hash.update(hash_file(path).map_err(|error| Error::io(path, "read", &error))?);
        }
        hash.update(pair.values.to_bytes());
        hash.update([options.geometry as u8]);
        Ok(Key(hash.finalize().into()))
    }

    fn name(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + ".case"
    }
}

fn hash_file(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hash, mut chunk) = (File::open(path)?, Sha256::new(), [0; CHUNK]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A folder of preprocessed cases.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn open(folder: &Path) -> Result<Cache> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the cache folder", &error))?;
        Ok(Cache { folder: folder.into() })
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.name())
    }

    /// The case of a key; `None` if it is not there, or not as it was written.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn load(&self, key: &Key) -> Result<Option<Case>> {
        let Ok(mut file) = File::open(self.path(key)) else { return Ok(None) };
        let Ok(length) = file.metadata().map(|metadata| metadata.len()) else { return Ok(None) };
        read(&mut file, length)
    }

    /// Keeps a case. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn store(&self, key: &Key, case: &Case) -> Result<()> {
        write_atomically(&self.path(key), |file| {
            file.write_all(MAGIC)?;
            file.write_all(&digest(case))?;
            file.write_all(&header(case))?;
            for_each_chunk(case.hounsfield(), |bytes| file.write_all(bytes))?;
            file.write_all(case.classes())
        })
    }
}

fn header(case: &Case) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let numbers = case.dims().map(|n| (n as u64).to_le_bytes()).into_iter().chain(case.spacing_mm().map(f64::to_le_bytes));
    header.chunks_exact_mut(8).zip(numbers).for_each(|(bytes, number)| bytes.copy_from_slice(&number));
    header
}

/// The SHA-256 of all that a case's file says of it.
fn digest(case: &Case) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(header(case));
    hash_voxels(&mut hash, case.hounsfield());
    hash.update(case.classes());
    hash.finalize().into()
}

/// The SHA-256 of a case's dimensions and Hounsfield units: the same for the same image, however it was stored.
pub(super) fn image_digest(case: &Case) -> [u8; 32] {
    let mut hash = Sha256::new();
    case.dims().iter().for_each(|&n| hash.update((n as u64).to_le_bytes()));
    hash_voxels(&mut hash, case.hounsfield());
    hash.finalize().into()
}

fn hash_voxels(hash: &mut Sha256, voxels: &[i16]) {
    let Ok(()) = for_each_chunk(voxels, |bytes| {
        hash.update(bytes);
        Ok::<_, Infallible>(())
    });
}

/// Gives the voxels' little-endian bytes away, chunk by chunk.
fn for_each_chunk<E>(voxels: &[i16], mut each: impl FnMut(&[u8]) -> std::result::Result<(), E>) -> std::result::Result<(), E> {
    let mut chunk = [0; CHUNK];
    voxels.chunks(CHUNK / 2).try_for_each(|voxels| {
        let bytes = &mut chunk[..2 * voxels.len()];
        bytes.chunks_exact_mut(2).zip(voxels).for_each(|(bytes, voxel)| bytes.copy_from_slice(&voxel.to_le_bytes()));
        each(bytes)
    })
}

/// Reads a file of `length` bytes; `None` for anything but what [`Cache::store`] wrote.
fn read(file: &mut impl Read, length: u64) -> Result<Option<Case>> {
    let (mut magic, mut expected, mut header) = ([0; MAGIC.len()], [0; 32], [0; HEADER]);
    let whole = file.read_exact(&mut magic).and_then(|()| file.read_exact(&mut expected)).and_then(|()| file.read_exact(&mut header));
    if whole.is_err() || magic != *MAGIC {
        return Ok(None);
    }
    let number = |at: usize| header.as_chunks::<8>().0[at];
    let dims = [0, 1, 2].map(|at| usize::try_from(u64::from_le_bytes(number(at))).unwrap_or(usize::MAX));
    let spacing_mm = [3, 4, 5].map(|at| f64::from_le_bytes(number(at)));
    let count = dims[0].checked_mul(dims[1]).and_then(|n| n.checked_mul(dims[2]));
    // The length is what says how much memory to take, not the numbers inside.
    let told = count.and_then(|n| (n as u64).checked_mul(3)).and_then(|n| n.checked_add((MAGIC.len() + 32 + HEADER) as u64));
    let Some(count) = count.filter(|_| told == Some(length)) else { return Ok(None) };
    let mut hounsfield = try_vec(0i16, count, "a case's voxels")?;
    let mut classes = try_vec(0u8, count, "a case's classes")?;
    let mut chunk = [0; CHUNK];
    let voxels = hounsfield.chunks_mut(CHUNK / 2).try_for_each(|voxels| {
        let bytes = &mut chunk[..2 * voxels.len()];
        file.read_exact(bytes)?;
        voxels.iter_mut().zip(bytes.as_chunks().0).for_each(|(voxel, bytes)| *voxel = i16::from_le_bytes(*bytes));
        Ok::<_, io::Error>(())
    });
    if voxels.and_then(|()| file.read_exact(&mut classes)).is_err() {
        return Ok(None);
    }
    Ok(Case::new(dims, spacing_mm, hounsfield, classes).ok().filter(|case| digest(case) == expected))
}

#[cfg(test)]
mod tests {
    use super::super::Classes;
    use super::super::fixtures::Files;
    use super::*;
    use crate::io::GeometryChoice;

    fn case() -> Case {
        // More voxels than a chunk holds.
        let count = 3 * 111 * 113;
        let hounsfield = (0..count).map(|n| (n % 5000 - 1000) as i16).collect();
        Case::new([3, 111, 113], [2.5, 0.7, 0.7], hounsfield, (0..count).map(|n| (n % 3) as u8).collect()).unwrap()
    }

    #[test]
    fn a_case_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("made/on/demand")).unwrap();
        let (key, other) = (Key([7; 32]), Key([8; 32]));
        assert_eq!(cache.load(&key).unwrap(), None);
        cache.store(&key, &case()).unwrap();
        assert_eq!(cache.load(&key).unwrap(), Some(case()));
        assert_eq!(cache.load(&other).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_no_case_wherever_it_is_damaged() {
        let small = Case::new([2, 3, 2], [1.0; 3], (0..12).collect(), vec![1; 12]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (Cache::open(folder.path()).unwrap(), Key([7; 32]));
        cache.store(&key, &small).unwrap();
        let bytes = std::fs::read(cache.path(&key)).unwrap();
        let read = |bytes: &[u8]| read(&mut &*bytes, bytes.len() as u64).unwrap();
        assert_eq!(read(&bytes), Some(small));
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), None, "bit {bit}");
        }
        assert!((0..bytes.len()).all(|length| read(&bytes[..length]).is_none()));
        assert_eq!(read(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn the_key_changes_with_either_file_the_classes_and_the_transform_and_not_with_the_name() {
        let files = Files::new();
        files.write_case("a.nii", "a-label.nii", 0);
        files.write_case("b.nii", "b-label.nii", 1);
        std::fs::copy(files.path("a.nii"), files.path("c.nii")).unwrap();
        std::fs::copy(files.path("a-label.nii"), files.path("c-label.nii")).unwrap();
        let key = |image: &str, label: &str, classes: Classes, geometry| {
            let [image, label] = [image, label].map(|name| files.path(name));
            let pair = Pair { id: image.display().to_string(), image, label, values: classes.values().clone(), part: None };
            Key::of(&pair, &ReadOptions { geometry, ..ReadOptions::default() })
        };
        let (classes, strict) = (Classes::spinect, GeometryChoice::Strict);
        let first = key("a.nii", "a-label.nii", classes(), strict).unwrap();
        assert_eq!(first, key("c.nii", "c-label.nii", classes(), strict).unwrap());
        let nerve_only = Classes::new(&[("nerve", vec![2])]).unwrap();
        for other in [
            key("b.nii", "a-label.nii", classes(), strict),
            key("a.nii", "b-label.nii", classes(), strict),
            key("a-label.nii", "a.nii", classes(), strict),
            key("a.nii", "a-label.nii", nerve_only, strict),
            key("a.nii", "a-label.nii", classes(), GeometryChoice::Qform),
        ] {
            assert_ne!(first, other.unwrap());
        }
        assert!(key("lost.nii", "a-label.nii", classes(), strict).is_err());
    }
}
