//! Removing the name of a lock file, and of no other file.

use std::io;
use std::path::Path;

use crate::{FileId, Symlinks};

/// Removes `path` if it names the file `id`.
///
/// The directory is opened once, so that whoever can exchange one above it cannot have the name looked
/// up in one and removed in another.
#[cfg(unix)]
pub(crate) fn remove(path: &Path, symlinks: Symlinks, id: FileId) -> io::Result<()> {
    use rustix::fs::AtFlags;
    use rustix::io::Errno;

    use crate::location::Location;

    let removed = rustix::io::retry_on_intr(|| {
        let Some(location) = Location::held(path, symlinks)? else {
            return Ok(()); // the root directory
        };
        if FileId::from_location(&location)? == id {
            let (directory, name) = (location.directory(), location.name());
            rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
        }
        Ok(())
    });
    match removed {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()), // somebody else was quicker
        removed => Ok(removed?),
    }
}

/// Removes `path` if it names the file `id`.
///
/// No directory above an open file can be exchanged. The file is moved away first, so that its name is free
/// at once: where the file system cannot remove the name of an open file (all but NTFS from Windows 10 1809
/// on), it would stay until everybody has closed the file. Whoever is killed in between leaves the file
/// there under a name that nobody looks for.
#[cfg(windows)]
pub(crate) fn remove(path: &Path, _: Symlinks, id: FileId) -> io::Result<()> {
    use std::fs;
    use std::hash::{BuildHasher, RandomState};

    use crate::Symlinks::NoFollow;

    let Some(name) = path.file_name() else {
        return Ok(()); // the root directory
    };
    if FileId::from_path(path, NoFollow)? != Some(id) {
        return Ok(());
    }
    let mut aside = name.to_owned();
    aside.push(format!(".{:016x}.removed", RandomState::new().hash_one(0)));
    let aside = path.with_file_name(aside);
    let removed = match fs::rename(path, &aside) {
        // Somebody has replaced the file in between.
        Ok(()) if FileId::from_path(&aside, NoFollow)? != Some(id) => fs::rename(&aside, path),
        Ok(()) => fs::remove_file(&aside).inspect_err(|_| {
            // It is read-only, say, and that is told. It gets its name back unless there is a new file.
            if !path.exists() {
                fs::rename(&aside, path).ok();
            }
        }),
        // The name may be too long.
        Err(_) => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // somebody else was quicker
        removed => removed,
    }
}
