//! Removing the name of a lock file, and of no other file.

use std::io;
use std::path::Path;

use crate::FileId;

/// Removes `path` if it names the file `id`.
///
/// The directory is opened once, so that whoever can exchange one above it cannot have the name looked
/// up in one and removed in another.
#[cfg(unix)]
pub(crate) fn remove(path: &Path, id: FileId) -> io::Result<()> {
    use rustix::fs::{AtFlags, Mode, OFlags};
    use rustix::io::Errno;

    /// To look up names in it takes no right to read it where the system has `O_PATH`.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const PLACE: OFlags = OFlags::PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const PLACE: OFlags = OFlags::RDONLY;

    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(()); // the root directory
    };
    let flags = PLACE | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let removed = rustix::io::retry_on_intr(|| {
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        if FileId::from_name_in(&directory, name)? == id {
            rustix::fs::unlinkat(&directory, name, AtFlags::empty())?;
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
/// No directory above an open file can be exchanged. Where the file system can do it (NTFS, from Windows
/// 10 1809 on), the name is free at once; elsewhere when all who have the file open have closed it.
#[cfg(windows)]
pub(crate) fn remove(path: &Path, id: FileId) -> io::Result<()> {
    if FileId::from_path(path, crate::Symlinks::NoFollow)? != Some(id) {
        return Ok(());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // somebody else was quicker
        removed => removed,
    }
}
