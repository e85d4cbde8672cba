//! The identity of a file, whatever its names.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::cmp::Ordering;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use touchfile_core::OpenOptions;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

/// What is done with a symbolic link that is the last component of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Symlinks {
    /// The link is followed to the file that it leads to.
    Follow,
    /// The link is not followed: it is itself the file.
    NoFollow,
    /// The same, and there is to be no link on the way to it either.
    Refuse,
}

impl Symlinks {
    pub(crate) fn in_options(options: &OpenOptions) -> Self {
        match (options.no_symlinks, options.follow_symlinks) {
            (true, _) => Self::Refuse,
            (false, true) => Self::Follow,
            (false, false) => Self::NoFollow,
        }
    }
}

/// Which file something is: its device and its inode number, or on Windows the serial number of its
/// volume and its index there.
///
/// While a descriptor of a file is open no other file gets its number, so comparing the
/// identity of an open file with that of a path is sound.
///
/// Identities are ordered, so that several files can be locked in one order whatever their names:
/// by inode number, which is the same for all hosts that share a file system, and only then by
/// device number, which is not.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use std::fs::{self, File};
/// use touchfile_file::{FileId, Symlinks};
///
/// let path = dir.path().join("a.lock");
/// let file = File::create(&path)?;
/// assert_eq!(FileId::from_path(&path, Symlinks::NoFollow)?, Some(FileId::from_file(&file)?));
///
/// fs::remove_file(&path)?;
/// assert_eq!(FileId::from_path(&path, Symlinks::NoFollow)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of an open file.
    ///
    /// # Errors
    ///
    /// Whatever fstat(2), or on Windows `GetFileInformationByHandle`, fails with.
    pub fn from_file(file: &File) -> io::Result<Self> {
        system::from_file(file)
    }

    /// The identity of what `path` names, or `None` if it names nothing.
    ///
    /// A symbolic link as the last component is itself the answer unless it is followed. Where links are
    /// refused, a path with one on the way names nothing. On Windows, a file that was removed and is still
    /// open somewhere is named by nothing, even if its name cannot be used again yet.
    ///
    /// # Errors
    ///
    /// Whatever stat(2), or on Windows `CreateFileW`, fails with, except that a path that names nothing is
    /// `Ok(None)`.
    #[inline]
    pub fn from_path(path: &Path, symlinks: Symlinks) -> io::Result<Option<Self>> {
        system::from_path(path, symlinks)
    }

    /// Bytes that are in the order of the identities.
    pub(crate) fn in_order(&self) -> [u8; 16] {
        let inode = u128::from(self.inode) << 64;
        (inode | u128::from(self.device)).to_be_bytes()
    }

    fn key(&self) -> (u64, u64) {
        (self.inode, self.device)
    }
}

/// Whether an open file has a name in any directory.
pub(crate) fn has_name(file: &File) -> io::Result<bool> {
    system::has_name(file)
}

impl Ord for FileId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for FileId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}", self.device, self.inode)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_path_that_names_another_file_has_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let file = File::create(&path).unwrap();
        let id = FileId::from_file(&file).unwrap();
        assert_eq!(
            FileId::from_path(&path, Symlinks::NoFollow).unwrap(),
            Some(id)
        );
        fs::remove_file(&path).unwrap();
        assert_eq!(FileId::from_path(&path, Symlinks::NoFollow).unwrap(), None);
        fs::write(&path, "").unwrap();
        assert_ne!(
            FileId::from_path(&path, Symlinks::NoFollow).unwrap(),
            Some(id)
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_another_file_unless_it_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a.lock"), dir.path().join("link"));
        let id = FileId::from_file(&File::create(&path).unwrap()).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(
            FileId::from_path(&link, Symlinks::Follow).unwrap(),
            Some(id)
        );
        assert_ne!(
            FileId::from_path(&link, Symlinks::NoFollow).unwrap(),
            Some(id)
        );
    }

    #[test]
    fn files_have_one_order_and_device_numbers_decide_last() {
        let id = |device, inode| FileId { device, inode };
        assert!(id(9, 1) < id(1, 2));
        assert!(id(1, 2) < id(9, 2));
        assert_eq!(id(1, 2).cmp(&id(1, 2)), Ordering::Equal);
        let mut ids = [id(300, 2), id(9, 1), id(1, 700), id(1, 2), id(2, 255)];
        ids.sort();
        assert!(ids.is_sorted_by_key(FileId::in_order));
    }
}
