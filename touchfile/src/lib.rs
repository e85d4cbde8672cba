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
//! # What you need first
//!
//! | | |
//! |---|---|
//! | [`TouchFile`] | [`open`](TouchFile::open) a lock file, then [`try_lock`](TouchFile::try_lock), [`lock`](TouchFile::lock), [`lock_timeout`](TouchFile::lock_timeout), [`with_lock`](TouchFile::with_lock); [`lock_owned`](TouchFile::lock_owned) where a guard is stored or sent; the same for threads by [`blocking`](TouchFile::blocking) and [`blocking_owned`](TouchFile::blocking_owned) |
//! | [`TouchFile::options`] | a timeout for every wait, what to do while it waits, to write to the file, to remove it afterwards, … |
//! | [`LockGuard`], [`BlockingLockGuard`], [`OwnedLockGuard`], [`OwnedBlockingLockGuard`] | the held lock; all of them are a [`Guard`] or [`BlockingGuard`], which has the methods: `unlock`, and [`file`](Guard::file), [`verify`](Guard::verify), [`lost`](Guard::lost) |
//! | [`LockSet`] | several locks in one call, in one order, all or none |
//! | [`Semaphore`] | lets at most N at a time have it, across processes |
//! | [`LockMode`] | exclusive or shared |
//! | [`Error`] | tells contention, timeouts and failures apart; a timeout says who has the lock |
//! | [`TouchFile::holders`], [`holders`], [`Holder`] | who has a lock, and who waits for it |
//! | [`WaitEvent`] | what [`on_wait`](TouchFileBuilder::on_wait) gets, to tell the user that it waits, and for whom |
//! | [`TouchFile::guarantee`], [`Guarantee`] | what a lock is worth where its file is: on NFS, say |
//! | [`Guard::token`], [`Fence`] | for locks that can be lost: a store that refuses who has lost one |
//!
//! # Examples
//!
//! The folder [`examples`](https://github.com/touchfile/touchfile/tree/main/touchfile/examples) has whole
//! programs:
//!
//! - `single_instance`: a program of which one runs at a time, and which says who runs.
//! - `service`: a service that holds a lock until a signal ends it, with tokio's `select!`, and that stops if
//!   the lock is lost.
//! - `pid_file`: the pid in the lock file, read by whoever comes second.
//! - `shared_cache`: many reader processes, one writer, atomic replacement.
//! - `semaphore`: at most two processes at a time.
//! - `blocking`: threads without a runtime.
//! - `testing_with_mock`: tests of what a program does when locking goes wrong.
//! - `fencing`: a store that refuses a holder which has lost its lock without knowing.
//! - `byte_ranges`: a table whose rows are locked one by one.
//! - `custom_backend`: another way of locking.
//!
//! # Features
//!
//! - `events` (on by default): on Linux, waits that are told of releases and served in order. Without it a
//!   wait tries the lock every few milliseconds, as on other systems, and `FlockBackend` does not claim to be
//!   [fair](Capabilities::fair).
//! - `tracing` (on by default): spans and events with the target `touchfile`.
//! - `serde`: values that people store or print can be serialized.
//!
//! # Testing code that locks
//!
//! Be generic over `B: LockBackend`, as `TouchFile<B>` is, and give it `touchfile_mock::MockBackend` in
//! tests: a simulator of processes, lock files and faults. "What if the lock times out" is three lines then;
//! the example `testing_with_mock` shows them.
//!
//! # Other ways of locking
//!
//! A [`LockBackend`] is a way of locking. [`AutoBackend`], the default, locks each file in the way that is
//! right for its file system, on every system. The ways it chooses from are named for their calls and exist
//! where these do: `FlockBackend` and `FcntlBackend` on Unix, `LockFileExBackend` on Windows.
//! [`TouchFile::new`] takes any of them, [`BoxBackend`] is one that is chosen at run time.
//!
//! Authors of backends need none of this crate, but [`touchfile_core`], which has the rest of the traits and
//! shows a complete backend, [`touchfile_file`], the toolbox for backends on real files, and
//! `touchfile-testkit`, which tries whether a backend keeps the laws of locking. [`Capabilities`],
//! [`ConvertLock`], [`LockKind`] and [`Operation`] are here only because what programs use mentions them.
#![doc(html_root_url = "https://docs.rs/touchfile/latest")]
#![cfg(any(unix, windows))]
#![forbid(unsafe_code)]

pub mod auto;
mod default;

pub use auto::AutoBackend;
pub use default::{
    BlockingLockGuard, BlockingLockSetGuard, BlockingSemaphore, DefaultBackend, LockGuard, LockSet,
    LockSetGuard, OwnedBlockingLockGuard, OwnedLockGuard, Semaphore, TouchFile,
};
pub use touchfile_core::{
    Blocking, BlockingGuard, BlockingLockSet, BoxBackend, Capabilities, ConvertLock, Error, Fence,
    Guarantee, Guard, Holder, LockBackend, LockKind, LockMode, Loss, OpenFile, Operation,
    ProcessId, Result, Retry, StaleToken, TouchFileBuilder, UnknownName, WaitEvent,
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
#[doc = include_str!("../docs/migrating.md")]
struct Migrating;
