//! stat(2).

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use super::{FileId, Symlinks};
use crate::location::Location;
use crate::retry_interrupted;

pub(super) fn from_file(file: &File) -> io::Result<FileId> {
    retry_interrupted(|| Ok(FileId::from_stat(&rustix::fs::fstat(file)?)))
}

pub(super) fn has_name(file: &File) -> io::Result<bool> {
    retry_interrupted(|| Ok(rustix::fs::fstat(file)?.st_nlink > 0))
}

#[inline]
pub(super) fn from_path(path: &Path, symlinks: Symlinks) -> io::Result<Option<FileId>> {
    let stat = rustix::io::retry_on_intr(|| match symlinks {
        Symlinks::Follow => rustix::fs::stat(path),
        Symlinks::NoFollow => rustix::fs::lstat(path),
        Symlinks::Refuse => {
            let location = Location::of(path, symlinks)?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::statat(location.directory(), location.name(), flags)
        }
    });
    match stat {
        Ok(stat) => Ok(Some(FileId::from_stat(&stat))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(Errno::LOOP) if symlinks == Symlinks::Refuse => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl FileId {
    /// The identity of what is at a location, where no link is followed.
    pub(crate) fn from_location(location: &Location<'_>) -> rustix::io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(location.directory(), location.name(), flags)?;
        Ok(Self::from_stat(&stat))
    }

    /// The identity of what a link in /proc/PID/fd leads to, without asking a server that may not
    /// answer.
    #[cfg(all(target_os = "linux", feature = "events"))]
    pub(crate) fn from_link(link: &str) -> io::Result<Self> {
        use rustix::fs::{CWD, StatxFlags, makedev, statx};

        let stat = retry_interrupted(|| {
            let flags = crate::STATX_DONT_SYNC;
            Ok(statx(CWD, link, flags, StatxFlags::INO)?)
        })?;
        Ok(Self {
            device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
        })
    }

    #[inline]
    #[allow(
        clippy::cast_lossless,
        clippy::unnecessary_cast,
        reason = "the fields' types differ from one Unix to the next"
    )]
    fn from_stat(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        }
    }
}
