//! The flock(2) backend of touchfile.
//!
//! [`FlockBackend`] locks whole files with flock(2), through fs4. It excludes every other program
//! on the same host that uses flock(2): std's `File::lock`, flock(1), the `flock` functions of
//! other languages. It does not exclude programs that use fcntl(2) locks.
//!
//! ```
//! use touchfile_core::{LockMode, TouchFile};
//! use touchfile_flock::FlockBackend;
//!
//! let touch = TouchFile::temporary(FlockBackend::new())?;
//! let guard = touch.blocking().lock(LockMode::Exclusive)?;
//! assert_eq!(guard.mode(), LockMode::Exclusive);
//! # Ok::<(), touchfile_core::Error>(())
//! ```
//!
//! # Platform-specific behavior
//!
//! Tested on Linux. An exclusive lock needs no write access there: read-only files, directories
//! and the running executable can be lock files. On NFS the Linux client turns flock(2) into a
//! byte-range lock at the server, which does not exclude flock(2) on the server itself, and from
//! NFSv4 on an exclusive one does need write access (flock(2), "NFS details").
//!
//! The crate is empty on systems that are not Unix.
#![doc(html_root_url = "https://docs.rs/touchfile-flock/latest")]
#![cfg(unix)]
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use fs4::TryLockError;
use touchfile_core::{
    Attempt, Capabilities, Holder, LockBackend, LockKind, LockMode, OpenFile, OpenOptions, Platform,
};
use touchfile_file::{Access, BlockingLock, FileHandle, FileSystem, RawFileLock};

/// Locks with flock(2).
///
/// # Fairness
///
/// On Linux, processes of one user that wait for a lock with touchfile get it in the order they came, if
/// they have the same `/run/user/UID`, or none and the same network namespace; one that does not wait yet may overtake them for a few milliseconds. Elsewhere,
/// and with programs that do not use touchfile, a waiter may be overtaken.
///
/// # Errors
///
/// Besides what all backends return, a file system that has no flock(2) is
/// [`io::ErrorKind::Unsupported`], with its name in the message.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct FlockBackend {
    _private: (),
}

impl FlockBackend {
    /// A backend; it has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

#[async_trait]
impl LockBackend for FlockBackend {
    type Handle = FlockHandle;

    fn name(&self) -> &'static str {
        "flock"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FILES;
        capabilities.exclusive_read_only = true;
        capabilities.excludes_flock = true;
        capabilities.fair = cfg!(all(target_os = "linux", feature = "events"));
        capabilities
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<FlockHandle> {
        FileHandle::open_unleased(Flock, path, options).await
    }

    fn adopt(&self, file: &OpenFile) -> io::Result<FlockHandle> {
        FileHandle::adopt(Flock, file)
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        touchfile_file::look_up_holders(path, |_| &[LockKind::Flock]).await
    }

    fn platform(&self) -> &'static dyn Platform {
        touchfile_file::platform()
    }
}

/// A file open for flock(2).
pub type FlockHandle = FileHandle<Flock>;

/// The two calls of flock(2).
#[derive(Debug)]
pub struct Flock;

impl RawFileLock for Flock {
    #[inline]
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        // Spelled out, because `file.try_lock()` would be std's own method (qdrant#9226).
        let attempt = match mode {
            LockMode::Exclusive => fs4::FileExt::try_lock(file),
            LockMode::Shared => fs4::FileExt::try_lock_shared(file),
        };
        match attempt {
            Ok(()) => Ok(Attempt::Acquired),
            Err(TryLockError::WouldBlock) => Ok(Attempt::WouldBlock),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    #[inline]
    fn unlock(&self, file: &File) -> io::Result<()> {
        fs4::FileExt::unlock(file)
    }

    fn blocking(&self) -> Option<Arc<dyn BlockingLock>> {
        Some(Arc::new(Self))
    }

    /// The Linux client of NFS 4 refuses an exclusive lock on a file that is not open for writing
    /// (flock(2), "NFS details"), and of other servers nothing is known.
    fn access(&self, file_system: FileSystem) -> Access {
        if file_system.may_stall() {
            Access::ReadWrite
        } else {
            Access::Read
        }
    }

    fn queue_key(&self) -> Option<Cow<'static, str>> {
        Some("flock".into())
    }

    fn kernel_listing(&self) -> Option<(LockKind, Option<RangeInclusive<u64>>)> {
        Some((LockKind::Flock, None))
    }
}

impl BlockingLock for Flock {
    fn lock(&self, file: &File, mode: LockMode) -> io::Result<()> {
        match mode {
            LockMode::Exclusive => fs4::FileExt::lock(file),
            LockMode::Shared => fs4::FileExt::lock_shared(file),
        }
    }

    fn release(&self, file: &File) -> io::Result<()> {
        self.unlock(file)
    }
}
