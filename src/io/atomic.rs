//! Output files appear whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::buffer::Writer;
use crate::error::{Error, ErrorKind, Result};

/// Writes a file that appears whole or not at all: into a temporary file beside it, flushed and synchronized, which then
/// takes the name. An existing file is replaced; the new one has the permissions that any new file gets (the umask's).
/// A symbolic link is followed, not replaced.
///
/// `write` writes the contents; its writer is buffered.
///
/// # Errors
/// [`ErrorKind::Io`]: no such directory, no permission, a full disk, or a path that names no regular file. Then the
/// temporary file is gone and an existing file is as it was. [`ErrorKind::OutOfMemory`].
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let failed = |error: &io::Error| Error::io(path, "write", error);
    let target = target_of(path)?;
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".spinect-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The operating system takes the umask off: no moment with wider permissions than the file will have.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory).map_err(|error| failed(&error))?;
    let mut writer = Writer::new(file.as_file_mut())?;
    write(&mut writer).and_then(|()| writer.flush()).map_err(|error| failed(&error))?;
    drop(writer);
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(&target).map_err(|error| failed(&error.error))?;
    // The file is complete whatever comes of this: it makes the new name, too, survive a loss of power.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Where the bytes go: the file that `path` names, behind symbolic links if it exists.
fn target_of(path: &Path) -> Result<PathBuf> {
    let target = match path.canonicalize() {
        Ok(target) => target,
        // A name that does not exist yet, or a link that leads nowhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_path_buf()),
        Err(error) => return Err(Error::io(path, "write", &error)),
    };
    let metadata = target.metadata().map_err(|error| Error::io(path, "examine", &error))?;
    if metadata.is_file() {
        Ok(target)
    } else {
        let what = if metadata.is_dir() { "a directory" } else { "a pipe or a device" };
        Err(Error::new(ErrorKind::Io, format!("cannot write {}: it is {what}; give the name of a file", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::buffer::BUFFER_BYTES;
    use std::fs;

    /// The names in a directory: more than the expected ones are leftovers.
    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_and_replaces_an_existing_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        for text in ["first", "second, and longer"] {
            write_atomically(&path, |writer| writer.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn a_failure_on_the_way_keeps_the_old_file_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "old").unwrap();
        let error = write_atomically(&path, |writer| {
            writer.write_all(&[1; 3 * BUFFER_BYTES])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains("out"), "{error}");
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(directory.path())), ("old", vec!["out".into()]));
    }

    #[test]
    fn a_panic_on_the_way_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let outcome = std::panic::catch_unwind(|| write_atomically(&path, |_| panic!("a test's panic")));
        assert!(outcome.is_err() && names(directory.path()).is_empty());
    }

    #[test]
    fn no_directory_a_directory_and_a_device_are_io_errors() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path().join("missing/out"), directory.path().to_path_buf(), PathBuf::from("/dev/null"), PathBuf::new()] {
            let error = write_atomically(&path, |writer| writer.write_all(b"x")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{}", path.display());
        }
        assert!(names(directory.path()).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, |writer| writer.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (ours, usual) = (directory.path().join("ours"), directory.path().join("usual"));
        write_atomically(&ours, |writer| writer.write_all(b"x")).unwrap();
        fs::write(&usual, "x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }
}
