//! Backends that do not release.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use touchfile_core::{Attempt, BoxBackend, Capabilities, LockMode, OpenOptions};
use touchfile_file::{FileHandle, RawFileLock};

use super::Broken;
use super::base::{Fault, Flock, Honest, InCalls, Twist, honest_claims, with_fault, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "unlock-keeps",
        what: "Unlocking does nothing; only closing the file releases.",
        law: Law::Release,
        in_lockstep: true,
        make: unlock_keeps,
    },
    Broken {
        name: "drop-keeps",
        what: "Dropping a handle leaves its file open, and so its lock held.",
        law: Law::Release,
        in_lockstep: true,
        make: drop_keeps,
    },
    Broken {
        name: "kept-after-kill",
        what: "The lock is a second file with the holder, which is not removed when the holder is killed.",
        law: Law::Release,
        in_lockstep: true,
        make: kept_after_kill,
    },
    Broken {
        name: "drop-needs-a-runtime",
        what: "Dropping a handle panics where there is no tokio runtime.",
        law: Law::Release,
        in_lockstep: false,
        make: drop_needs_a_runtime,
    },
];

/// Unlocking does nothing; only closing the file releases.
#[must_use]
pub fn unlock_keeps(_: &Path) -> BoxBackend {
    with_fault("unlock-keeps", InCalls(UnlockKeeps))
}

#[derive(Clone, Debug)]
struct UnlockKeeps;

impl RawFileLock for UnlockKeeps {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        Flock.try_lock(file, mode)
    }

    fn unlock(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// Dropping a handle leaves its file open, and so its lock held.
#[must_use]
pub fn drop_keeps(_: &Path) -> BoxBackend {
    with_twist::<DropKeeps>("drop-keeps")
}

#[derive(Debug, Default)]
struct DropKeeps;

#[async_trait]
impl Twist for DropKeeps {
    fn drop(&mut self, honest: Honest) {
        std::mem::forget(honest);
    }
}

/// The lock is a second file with the holder, which is not removed when the holder is killed.
///
/// It claims exclusive locks only, but also that SIGKILL releases.
#[must_use]
pub fn kept_after_kill(_: &Path) -> BoxBackend {
    with_fault("kept-after-kill", PidFiles)
}

#[derive(Debug)]
struct PidFiles;

impl Fault for PidFiles {
    type Handle = FileHandle<PidFile>;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = honest_claims();
        capabilities.shared = false;
        capabilities.excludes_flock = false;
        capabilities.remove_on_release = false;
        capabilities
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        if options.remove_on_release {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let directory = path.parent().unwrap_or(path).to_owned();
        FileHandle::open(PidFile { directory }, path, options)
    }
}

#[derive(Debug)]
struct PidFile {
    directory: PathBuf,
}

impl PidFile {
    /// The path of the second file, which depends on the inode only.
    fn path(&self, file: &File) -> io::Result<PathBuf> {
        let inode = file.metadata()?.ino();
        Ok(self.directory.join(format!(".{inode}.pid")))
    }
}

impl RawFileLock for PidFile {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        if mode == LockMode::Shared {
            return Err(io::ErrorKind::Unsupported.into());
        }
        match File::create_new(self.path(file)?) {
            Ok(_) => Ok(Attempt::Acquired),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Attempt::WouldBlock),
            Err(error) => Err(error),
        }
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        fs::remove_file(self.path(file)?)
    }
}

/// Dropping a handle panics where there is no tokio runtime.
#[must_use]
pub fn drop_needs_a_runtime(_: &Path) -> BoxBackend {
    with_twist::<DropNeedsRuntime>("drop-needs-a-runtime")
}

#[derive(Debug, Default)]
struct DropNeedsRuntime;

#[async_trait]
impl Twist for DropNeedsRuntime {
    fn drop(&mut self, honest: Honest) {
        // The lock is released, so that the panic is the only fault.
        drop(honest);
        drop(tokio::runtime::Handle::current());
    }
}
