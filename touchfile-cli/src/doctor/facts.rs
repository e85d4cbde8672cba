//! The facts that the system has about the file system of a path.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use touchfile_file::{FileSystem, Mount, QueuePlace};

use super::exports::{self, Export};
use crate::paths::{reachable, whole};

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) file_system: FileSystem,
    pub(super) mount: Option<Mount>,
    /// The export of a local NFS server to which the file belongs.
    pub(super) export: Option<Export>,
    /// The place of the queue of this user's processes that wait for the lock.
    pub(super) queue: QueuePlace,
    /// The directory in which locks are tried.
    pub(super) trial_directory: TrialDirectory,
}

/// The directory in which locks are tried.
#[derive(Clone, Debug)]
pub(super) enum TrialDirectory {
    /// Lock files can be created in this directory.
    Usable(PathBuf),
    /// There is none, for this reason.
    None(String),
}

impl Facts {
    /// Collects the facts about the file that `path` names, or about its directory if the file is missing.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = match canonical(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                canonical(parent.unwrap_or(Path::new(".")))?
            }
            found => found?,
        };
        let file = open(&path)?;
        let file_system = FileSystem::from_file(&file)?;
        let mount = Mount::from_file(&file)?;
        let is_directory = file.metadata()?.is_dir();
        let queue = QueuePlace::of((!is_directory).then_some(&file))?;
        let trial_directory = if is_directory {
            TrialDirectory::Usable(path.clone())
        } else {
            next_to(&path, mount.as_ref())?
        };
        Ok(Self {
            file_system,
            mount,
            export: exports::find(&whole(&path)),
            queue,
            trial_directory,
        })
    }
}

/// The path of a file without links. A file in a very deep directory has none, because it would be too
/// long.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    match reachable(path) {
        Cow::Borrowed(path) => path.canonicalize(),
        Cow::Owned(short) => short.metadata().map(|_| short),
    }
}

/// The directory of a file, unless the file itself is a mount point.
fn next_to(path: &Path, mount: Option<&Mount>) -> io::Result<TrialDirectory> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    if Mount::from_file(&open(directory)?)?.as_ref() == mount {
        return Ok(TrialDirectory::Usable(directory.to_owned()));
    }
    Ok(TrialDirectory::None(
        "the file is mounted by itself, and nothing can be created next to it".into(),
    ))
}

/// Opens a path without any effect on the file.
fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_dir() {
        return File::open(path);
    }
    let mut options = touchfile_core::OpenOptions::new();
    options.create = false;
    touchfile_file::open(path, &options)
}
