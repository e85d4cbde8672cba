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
    /// By which local NFS server it is exported.
    pub(super) export: Option<Export>,
    /// Where locks can be tried.
    pub(super) place: Place,
}

/// Where to try locks.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In this directory.
    Directory(PathBuf),
    /// Nowhere, for this reason.
    Nowhere(String),
}

impl Facts {
    /// Of what `path` names or, if that is nothing, of the directory it would be in.
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
        let place = if file.metadata()?.is_dir() {
            Place::Directory(path.clone())
        } else {
            next_to(&path, mount.as_ref())?
        };
        Ok(Self {
            file_system,
            mount,
            export: exports::find(&whole(&path)),
            place,
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
fn next_to(path: &Path, mount: Option<&Mount>) -> io::Result<Place> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    if Mount::from_file(&open(directory)?)?.as_ref() == mount {
        return Ok(Place::Directory(directory.to_owned()));
    }
    Ok(Place::Nowhere(
        "the file is mounted by itself, and nothing can be created next to it".into(),
    ))
}

/// Opens without any effect on what is opened.
fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_dir() {
        return File::open(path);
    }
    let mut options = touchfile::OpenOptions::new();
    options.create = false;
    touchfile_file::open(path, &options)
}
