//! Inter-process locks on touch files: the traits that backends implement, and the [`TouchFile`]
//! that programs use over any of them.
//!
//! A *touch file* is a file that exists to be locked, so that processes take turns. This crate
//! knows how to take turns well, and leaves the locking itself to a [`LockBackend`]:
//!
//! | crate | backend |
//! |---|---|
//! | `touchfile-flock` | flock(2), on local file systems |
//! | `touchfile-fcntl` | open-file-description locks of fcntl(2), for NFS and byte ranges |
//! | `touchfile-mock` | a simulator in memory, for tests |
//! | yours | whatever keeps [the laws](LockBackend#the-laws) |
//!
//! Programs usually depend on the `touchfile` crate, which picks a backend and begins with
//! [`TouchFile::open`].
//!
//! # For programs and libraries
//!
//! Libraries stay generic over `B: LockBackend`, or take a [`BoxBackend`].
//!
//! ```
//! use touchfile_core::{LockBackend, LockMode, Result, TouchFile};
//! use touchfile_mock::World;
//!
//! /// One at a time, across processes.
//! async fn migrate<B: LockBackend>(touch: &TouchFile<B>) -> Result<()> {
//!     touch.with_lock(LockMode::Exclusive, async |_guard| { /* … */ }).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let touch = TouchFile::new(World::new().process("a"), "/some/where/a.lock")?;
//! migrate(&touch).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`TouchFile`] has all ways to lock, and [`TouchFileBuilder`] its settings.
//! - [`LockGuard`], [`OwnedLockGuard`], [`BlockingLockGuard`] and [`OwnedBlockingLockGuard`] are held locks,
//!   with the methods of [`Guard`] and [`BlockingGuard`].
//! - [`Error`] tells contention, timeouts and failures apart, [`Loss`] how a held lock was lost.
//! - [`Holder`] is who has a lock or waits for it, [`WaitEvent`] what a wait reports.
//! - [`Guarantee`] is what a lock is worth where its file is.
//! - [`Fence`] lets a store refuse a holder that has lost its lock, by the [token](Guard::token).
//!
//! # Tracing
//!
//! With the feature `tracing`, which is on by default, each acquisition is a
//! [`tracing`](https://docs.rs/tracing) span `acquire` with the fields `path`, `backend` and `mode`, at
//! level DEBUG and with the target `touchfile`. Its events are:
//!
//! | event | level | fields | when |
//! |---|---|---|---|
//! | `contended` | DEBUG | `by` | somebody is in the way, for the first time |
//! | `still waiting` | WARN | `waited`, `holders` | after 30 seconds of a wait, then after 60, 120, and so on |
//! | `acquired` | DEBUG | `waited` | the lock is held |
//! | `gave up` | DEBUG | `waited`, `holders` | the timeout has passed |
//! | `cancelled` | DEBUG | `waited`, `holders` | the future of a wait was dropped |
//! | `failed` | DEBUG | `error` | the lock cannot be had |
//! | `retrying` | DEBUG | `pause` | it is tried again after that time ([`TouchFileBuilder::retry`]) |
//! | `replaced` | DEBUG | | the file was replaced, so the acquisition starts over |
//! | `released` | DEBUG | `path`, `mode`, `held` | a guard has released; outside of the span |
//! | `releasing the lock failed` | WARN | `path`, `error` | a dropped guard could not release; outside of the span |
//!
//! `holders` is missing where nobody was found; that of `cancelled` is the latest that was found
//! during the wait, as nobody is asked for it.
//!
//! # For authors of backends
//!
//! - [`LockBackend`] opens lock files and has [the laws](LockBackend#the-laws). [`LockHandle`] locks an open
//!   one; [`ConvertLock`] changes the mode of a held lock, where that can be done.
//! - [`Capabilities`] is what a backend claims, [`OpenOptions`] what it is asked for, [`Attempt`] what it
//!   answers.
//! - [`Platform`] tells what only a system can tell; [`NoPlatform`] is that of a backend without files.
//! - [`backoff`] and [`runtime`] are how to wait, where nothing tells of a lock that becomes free.
//! - `touchfile-testkit` tries whether the laws are kept.
//!
//! ## A complete backend
//!
//! A backend that locks real files with two system calls of its own implements
//! `touchfile_file::RawFileLock` and is done. This one has no files at all: locks live in this process.
//! It promises exclusive locks and nothing else, and `TouchFile` refuses the rest for it.
//!
//! ```
//! use std::collections::HashSet;
//! use std::io;
//! use std::path::{Path, PathBuf};
//! use std::sync::{Arc, Mutex};
//!
//! use async_trait::async_trait;
//! use touchfile_core::{
//!     Attempt, Capabilities, Error, LockBackend, LockHandle, LockMode, OpenOptions, TouchFile,
//! };
//!
//! /// The paths that are locked.
//! type Locked = Arc<Mutex<HashSet<PathBuf>>>;
//!
//! #[derive(Clone, Debug, Default)]
//! struct MemoryBackend {
//!     locked: Locked,
//! }
//!
//! #[async_trait]
//! impl LockBackend for MemoryBackend {
//!     type Handle = MemoryHandle;
//!
//!     fn name(&self) -> &'static str {
//!         "memory"
//!     }
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::NONE // no shared locks, no other processes, no files
//!     }
//!
//!     async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<MemoryHandle> {
//!         if *options != OpenOptions::new() {
//!             return Err(io::ErrorKind::Unsupported.into()); // never silently ignored
//!         }
//!         Ok(MemoryHandle { locked: self.locked.clone(), path: path.to_owned(), held: false })
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct MemoryHandle {
//!     locked: Locked,
//!     path: PathBuf,
//!     held: bool,
//! }
//!
//! #[async_trait]
//! impl LockHandle for MemoryHandle {
//!     async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
//!         if mode == LockMode::Shared {
//!             return Err(io::ErrorKind::Unsupported.into());
//!         }
//!         if self.held {
//!             return Err(io::ErrorKind::InvalidInput.into());
//!         }
//!         self.held = self.locked.lock().unwrap().insert(self.path.clone());
//!         Ok(if self.held { Attempt::Acquired } else { Attempt::WouldBlock })
//!     }
//!
//!     async fn unlock(&mut self) -> io::Result<()> {
//!         if std::mem::take(&mut self.held) {
//!             self.locked.lock().unwrap().remove(&self.path);
//!         }
//!         Ok(())
//!     }
//!
//!     async fn is_current(&self, _: &Path) -> io::Result<bool> {
//!         Err(io::ErrorKind::Unsupported.into()) // it is not claimed, and so never asked
//!     }
//! }
//!
//! impl Drop for MemoryHandle {
//!     fn drop(&mut self) {
//!         if self.held {
//!             self.locked.lock().unwrap().remove(&self.path);
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), touchfile_core::Error> {
//! let touch = TouchFile::new(MemoryBackend::default(), "a.lock")?;
//! let guard = touch.lock_exclusive().await?;
//! assert!(touch.try_lock(LockMode::Exclusive).await?.is_none());
//! guard.unlock().await?;
//! let refused = touch.lock_shared().await.unwrap_err();
//! assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
//! # Ok(())
//! # }
//! ```
#![doc(html_root_url = "https://docs.rs/touchfile-core/latest")]
#![forbid(unsafe_code)]

mod backend;
pub mod backoff;
mod boxed;
mod capabilities;
mod error;
mod fence;
mod forward;
mod guarantee;
mod holder;
mod mode;
mod names;
mod offload;
mod open_file;
mod options;
mod platform;
mod queue;
pub mod runtime;
mod touch_file;
mod trace;

pub use backend::{ConvertLock, LockBackend, LockHandle};
pub use boxed::BoxBackend;
pub use capabilities::Capabilities;
pub use error::{Error, Loss, Operation, Result};
pub use fence::{Fence, StaleToken};
pub use guarantee::Guarantee;
pub use holder::{Holder, LockKind, ProcessId};
pub use mode::{Attempt, LockMode};
pub use names::UnknownName;
pub use open_file::OpenFile;
pub use options::OpenOptions;
pub use platform::{NoPlatform, Platform};
pub use touch_file::{
    Blocking, BlockingGuard, BlockingLockGuard, BlockingLockSet, BlockingLockSetGuard,
    BlockingSemaphore, Guard, LockGuard, LockSet, LockSetGuard, OwnedBlockingLockGuard,
    OwnedLockGuard, ProvidesDefault, Retry, Semaphore, TouchFile, TouchFileBuilder, WaitEvent,
};
