//! What a backend's names mean, and what the system that they are names in says.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use crate::{OpenOptions, Result};

/// The system that a backend's names belong to: an operating system, a server, or nothing at all.
///
/// `touchfile-core` knows no operating system. What it has to know of one (what a relative path
/// means, whether opening a file may block, which errors pass, whether this process was forked) it
/// asks the platform that [`LockBackend::platform`](crate::LockBackend::platform) returns. A backend
/// on real files returns the one of `touchfile-file`; one whose names are mere text keeps
/// [`NoPlatform`].
///
/// Each method has a default, which is what [`NoPlatform`] does.
pub trait Platform: fmt::Debug + Send + Sync {
    /// The name under which every process knows what this one calls `name`.
    ///
    /// [`TouchFile`](crate::TouchFile) asks once, when it is made, and uses the answer from then on.
    /// The default returns `name` as it is: the same text is the same lock, in each directory and on
    /// each host. `name` is never empty.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`](crate::Error::InvalidPath) if `name` can be seen to be no name of a lock;
    /// [`Error::invalid_path`](crate::Error::invalid_path) makes it.
    fn resolve(&self, name: &Path, options: &OpenOptions) -> Result<PathBuf> {
        let _ = options;
        Ok(name.to_owned())
    }

    /// Whether what is locked are files, with directories, permissions and owners.
    ///
    /// Without them a [temporary](crate::TouchFile::temporary) touch file is nothing but a name that nobody
    /// else has: nothing is created for it, and nothing has to be removed. The default answers no.
    fn has_files(&self) -> bool {
        false
    }

    /// A name for an open file, by which messages call it and its holders can be looked up, if it has one.
    /// The default knows of none.
    fn name_of(&self, file: &File) -> Option<PathBuf> {
        let _ = file;
        None
    }

    /// Where [temporary](crate::TouchFile::temporary) touch files are, unless their directory is
    /// given. The default is the empty path.
    fn temporary_directory(&self) -> PathBuf {
        PathBuf::new()
    }

    /// Creates what a [temporary](crate::TouchFile::temporary) touch file locks in `directory`, and
    /// returns its name. Nobody else has used this name before, and nobody can guess it.
    ///
    /// What is created has the permissions of [`options.create_mode`](OpenOptions::create_mode). The
    /// default creates nothing and makes up a name.
    ///
    /// # Errors
    ///
    /// Whatever keeps the file from being created.
    fn create_temporary(&self, directory: &Path, options: &OpenOptions) -> io::Result<PathBuf> {
        let _ = options;
        // Each `RandomState` of the standard library has keys of its own, which start at random.
        let random = || RandomState::new().hash_one(0);
        Ok(directory.join(format!("touchfile-{:016x}{:016x}.lock", random(), random())))
    }

    /// Whether opening `path` may block its thread for long, as on a network file system.
    ///
    /// The answer must be cheap, and finding it must not block. The default answers no.
    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        let _ = (path, options);
        false
    }

    /// The kind of an error that a backend returned, where the system's own code says more than
    /// [`io::Error::kind`] has stable names for.
    ///
    /// [`Error`](crate::Error) sorts failures by this kind:
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) is a shortage that may pass, for instance.
    /// The default returns `error.kind()`.
    fn error_kind(&self, error: &io::Error) -> io::ErrorKind {
        error.kind()
    }

    /// A number of this process that neither the process that forked it nor any child that it forks
    /// has.
    ///
    /// A [`TouchFile`](crate::TouchFile) compares it with the number it was made with, to leave alone
    /// what is its parent's. The default always returns the same number, which is right where
    /// processes cannot fork.
    fn fork_generation(&self) -> u64 {
        0
    }
}

/// The platform of backends that have none: names are text, no call blocks, no process forks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlatform;

impl Platform for NoPlatform {}

/// A process as a [`Platform`] tells it from those it forks and from the one that forked it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    platform: &'static dyn Platform,
    generation: u64,
}

impl Process {
    pub(crate) fn current(platform: &'static dyn Platform) -> Self {
        Self {
            platform,
            generation: platform.fork_generation(),
        }
    }

    /// False in a child that was forked since this was made.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.generation == self.platform.fork_generation()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_without_a_platform_differ() {
        let name = || {
            let made = NoPlatform.create_temporary(Path::new("d"), &OpenOptions::new());
            made.unwrap()
        };
        let (one, other) = (name(), name());
        assert!(one.starts_with("d"));
        assert_ne!(one, other);
    }
}
