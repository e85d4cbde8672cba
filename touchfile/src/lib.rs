//! Locks on touch files: one at a time, across processes, in async and blocking Rust.
//!
//! A *touch file* is a file that exists to be locked, so that processes take turns.
//!
//! ```
//! use std::time::Duration;
//! use touchfile::{LockMode, Result, TouchFile};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("app.lock");
//! let touch = TouchFile::open(path)?; // such as "/run/app.lock"
//!
//! // Wait for it, without blocking the runtime and not for ever.
//! let guard = touch.lock_timeout(LockMode::Exclusive, Duration::from_secs(5)).await?;
//! // … one at a time, across processes …
//! guard.unlock().await?;
//!
//! // Or let a closure run under it.
//! let answer = touch.with_lock(LockMode::Shared, async |_guard| 6 * 7).await?;
//! assert_eq!(answer, 42);
//! # Ok(())
//! # }
//! ```
//!
//! Threads without a runtime have the same methods:
//!
//! ```
//! use touchfile::TouchFile;
//!
//! let touch = TouchFile::open_temporary()?;
//! let guard = touch.blocking().lock_exclusive()?;
//! guard.unlock()?;
//! # Ok::<(), touchfile::Error>(())
//! ```
//!
//! # What is where
//!
//! - [`TouchFile`] is what programs use; [`TouchFile::open`] makes one with the [`DefaultBackend`].
//! - [`LockBackend`] is a way of locking. [`AutoBackend`], the default, locks each file in the way
//!   that is right for its file system, on every system. The ways it chooses from are named for their
//!   calls and exist where these do: `FlockBackend` and `FcntlBackend` on Unix, `LockFileExBackend` on
//!   Windows. `TouchFile<B>` takes any other, [`BoxBackend`] one that is chosen at run time.
//! - [`Semaphore`] lets at most N at a time have it, across processes.
//! - [`TouchFile::guarantee`] says what a lock is worth where its file is: on NFS, say.
//! - [`Error`] tells contention, timeouts and failures apart.
//!
//! Authors of backends use `touchfile-core`, which has the rest of the traits, and `touchfile-file`,
//! the toolbox for backends on real files.
//!
//! # Testing code that locks
//!
//! Be generic over `B: LockBackend` and give it `touchfile_mock::MockBackend` in tests: a simulator
//! of processes, lock files and faults. "What if the lock times out" is three lines then; the
//! example `testing_with_mock` shows them.
#![cfg(any(unix, windows))]
#![forbid(unsafe_code)]

pub mod auto;
mod default;

pub use auto::AutoBackend;
pub use default::{
    BlockingLockGuard, BlockingSemaphore, DefaultBackend, LockGuard, OwnedBlockingLockGuard,
    OwnedLockGuard, Semaphore, TouchFile,
};
pub use touchfile_core::{
    Blocking, BlockingGuard, BoxBackend, Capabilities, ConvertLock, Error, Guarantee, Guard,
    Holder, LockBackend, LockKind, LockMode, Loss, Operation, ProcessId, Result, TouchFileBuilder,
    UnknownName, WaitEvent,
};
#[cfg(unix)]
pub use touchfile_fcntl::FcntlBackend;
pub use touchfile_file::holders;
#[cfg(unix)]
pub use touchfile_flock::FlockBackend;
#[cfg(windows)]
pub use touchfile_lockfileex::LockFileExBackend;

/// The code in the README is compiled and run, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So is that for those who come from other libraries.
#[cfg(doctest)]
#[doc = include_str!("../../docs/migrating.md")]
struct Migrating;
