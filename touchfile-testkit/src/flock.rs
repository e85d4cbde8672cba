//! A correct backend for flock(2): what the broken backends are made of, and what unit tests lock with.
//!
//! It is not that of `touchfile-flock`, whose tests need this crate: each could be published only after the
//! other.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use touchfile_core::{Attempt, Capabilities, LockMode};
use touchfile_file::{FileHandle, RawFileLock};

/// The capabilities of flock(2).
pub(crate) fn honest_claims() -> Capabilities {
    let mut capabilities = Capabilities::NONE;
    capabilities.shared = true;
    capabilities.cross_process = true;
    capabilities.crash_release = true;
    capabilities.fork_safe = true;
    capabilities.identity = true;
    capabilities.remove_on_release = true;
    capabilities.real_files = true;
    capabilities.exclusive_read_only = true;
    capabilities.excludes_flock = true;
    capabilities
}

/// The correct calls of flock(2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flock;

/// A correct handle.
pub(crate) type Honest = FileHandle<Flock>;

impl RawFileLock for Flock {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        let operation = match mode {
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
        };
        match flock(file, operation) {
            Ok(()) => Ok(Attempt::Acquired),
            Err(Errno::WOULDBLOCK) => Ok(Attempt::WouldBlock),
            Err(errno) => Err(errno.into()),
        }
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Ok(flock(file, FlockOperation::Unlock)?)
    }
}

#[cfg(test)]
pub(crate) use backend::FlockBackend;

#[cfg(test)]
mod backend {
    use std::path::Path;

    use async_trait::async_trait;
    use touchfile_core::{LockBackend, OpenOptions, Platform};

    use super::*;

    /// A correct backend for flock(2).
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct FlockBackend;

    #[async_trait]
    impl LockBackend for FlockBackend {
        type Handle = Honest;

        fn name(&self) -> &'static str {
            "flock"
        }

        fn capabilities(&self) -> Capabilities {
            honest_claims()
        }

        async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Honest> {
            FileHandle::open(Flock, path, options)
        }

        fn platform(&self) -> &'static dyn Platform {
            touchfile_file::platform()
        }
    }
}
