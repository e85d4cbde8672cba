//! What the system says of the file system that a path is on.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use touchfile_file::{FileSystem, Mount};

use super::exports::{self, Export};
use crate::paths::{reachable, whole};

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) file_system: FileSystem,
    pub(super) mount: Option<Mount>,
    /// The export of a local NFS server that the file is in.
    pub(super) export: Option<Export>,
    /// Where locks are tried.
    pub(super) trial_directory: TrialDirectory,
}

/// The directory in which locks are tried.
#[derive(Clone, Debug)]
pub(super) enum TrialDirectory {
    /// Lock files can be created there.
    Usable(PathBuf),
    /// There is none, for this reason.
    None(String),
}

impl Facts {
    /// Collects the facts of the file that `path` names, or of its directory if there is no such
    /// file.
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
        let trial_directory = if file.metadata()?.is_dir() {
            TrialDirectory::Usable(path.clone())
        } else {
            next_to(&path, mount.as_ref())?
        };
        Ok(Self {
            file_system,
            mount,
            export: exports::find(&whole(&path)),
            trial_directory,
        })
    }
}

/// The name of a file without links in it, where the system has one: that of a file in a very deep
/// directory is too long for it.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    match reachable(path) {
        Cow::Borrowed(path) => path.canonicalize(),
        Cow::Owned(short) => short.metadata().map(|_| short),
    }
}

/// The directory of a file, unless the file is mounted there from somewhere else.
fn next_to(path: &Path, mount: Option<&Mount>) -> io::Result<TrialDirectory> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    if Mount::from_file(&open(directory)?)?.as_ref() == mount {
        return Ok(TrialDirectory::Usable(directory.to_owned()));
    }
    Ok(TrialDirectory::None(
        "the file is mounted by itself, and nothing can be created next to it".into(),
    ))
}

/// Opens without any effect on what is opened.
fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_dir() {
        return File::open(path);
    }
    let mut options = touchfile_core::OpenOptions::new();
    options.create = false;
    touchfile_file::open(path, &options)
}
