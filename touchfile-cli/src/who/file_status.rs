//! The locks of files.

use std::io;
use std::path::{Path, PathBuf};

use touchfile::Holder;
use touchfile_file::LockedFile;

/// What is known about the locks of a file.
#[derive(Debug)]
pub(super) struct FileStatus {
    pub(super) name: Name,
    pub(super) found: io::Result<Vec<Holder>>,
}

/// The name of a file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Name {
    Path(PathBuf),
    /// The path is unknown, because the files of the processes that have it open cannot be seen.
    Unknown {
        device: (u32, u32),
        inode: u64,
    },
}

impl FileStatus {
    /// Finds the locks of one file.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            name: Name::Path(path.to_owned()),
            found: touchfile_file::holders(path),
        }
    }

    /// Finds all locked files.
    pub(super) fn at_all() -> io::Result<Vec<Self>> {
        let files = touchfile_file::locked_files()?;
        Ok(files.into_iter().map(Self::from).collect())
    }

    /// Keeps only these processes, if any are given.
    pub(super) fn retain(&mut self, pids: &[u32]) {
        if let (Ok(found), false) = (&mut self.found, pids.is_empty()) {
            found.retain(|holder| holder.pid().is_some_and(|pid| pids.contains(&pid)));
        }
    }

    pub(super) fn is_held(&self) -> bool {
        let holders = self.found.as_ref();
        holders.is_ok_and(|holders| holders.iter().any(|holder| !holder.waiting))
    }
}

impl From<LockedFile> for FileStatus {
    fn from(file: LockedFile) -> Self {
        let (device, inode) = (file.device, file.inode);
        Self {
            name: file
                .path
                .map_or(Name::Unknown { device, inode }, Name::Path),
            found: Ok(file.holders),
        }
    }
}
