//! An in-memory simulator of processes, lock files and faults.
//!
//! A program that is generic over [`LockBackend`](touchfile_core::LockBackend) gets a real backend in
//! production and a [`MockBackend`] in tests. A test writes no expectations and no stubs: the files and
//! processes of a [`World`] obey the [laws](touchfile_core::LockBackend#the-laws), until the test arms
//! a fault.
//!
//! - **Processes** exclude each other. [`World::process`] starts one. [`World::kill`], [`World::stop`]
//!   and [`World::resume`] act like the signals.
//! - **Files** can be [unlinked](World::unlink), [replaced](World::replace),
//!   [renamed](World::rename) and [linked](World::hard_link) while they are in use.
//! - **Faults** are armed in advance: [failures](World::fail_next), [refusals](World::refuse_next) and
//!   [delays](World::delay_next), for all calls or under the conditions of a [`Fault`]. A held lock can
//!   be [lost](World::lose_lock).
//! - **Questions** are answered: who [holds](World::holders) a lock, who [waits](World::waiters) for it,
//!   and what [happened](World::history).
//! - **Backends that can do less** are simulated by [`MockBackend::with_capabilities`].
//!
//! Nothing here polls, and time passes only in a delay fault. So the result is the same on every run,
//! tests with tokio's paused clock see the expected times, and any executor can be used.
//!
//! # Examples
//!
//! A test of a lock that times out, a holder that dies, and an unlock that fails:
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use touchfile_core::LockMode::Exclusive;
//! use touchfile_core::{LockBackend, LockHandle, OpenOptions};
//! use touchfile_mock::{Call, World};
//! # use std::path::Path;
//!
//! # async fn hold(backend: impl LockBackend) -> impl LockHandle {
//! #     let mut handle = backend.open(Path::new("/job.lock"), &OpenOptions::new()).await.unwrap();
//! #     handle.lock(Exclusive).await.unwrap();
//! #     handle
//! # }
//! /// The tested function: it does a job under a lock, and gives up after five seconds.
//! async fn do_job(backend: impl LockBackend) -> io::Result<()> {
//!     let mut lock = backend.open("/job.lock".as_ref(), &OpenOptions::new()).await?;
//!     tokio::time::timeout(Duration::from_secs(5), lock.lock(Exclusive)).await??;
//!     // … the job …
//!     lock.unlock().await
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let world = World::new();
//!
//! // The lock times out, because another process holds it. The clock is paused, so this takes no time.
//! let held = hold(world.process("other")).await;
//! let outcome = do_job(world.process("me")).await;
//! assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
//!
//! // The holder dies.
//! world.kill("other");
//! do_job(world.process("me")).await.unwrap();
//!
//! // The unlock fails.
//! world.fail_next(Call::Unlock, 5); // EIO
//! let outcome = do_job(world.process("me")).await;
//! assert_eq!(outcome.unwrap_err().raw_os_error(), Some(5));
//! # drop(held);
//!
//! println!("{}", world.history_text()); // … 5.000s: me stopped waiting for the exclusive lock …
//! # assert!(world.history_text().contains("5.000s: me stopped waiting for the exclusive lock on /job"));
//! # }
//! ```
#![doc(html_root_url = "https://docs.rs/touchfile-mock/latest")]
#![forbid(unsafe_code)]

mod backend;
mod claim;
mod fault;
mod handle;
mod history;
mod paths;
mod state;
mod world;

pub use backend::MockBackend;
pub use claim::Claim;
pub use fault::{Call, Failure, Fault};
pub use handle::MockHandle;
pub use history::{Event, EventKind};
pub use world::World;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        fn check<T: Send + Sync + Unpin + 'static>() {}
        check::<Call>();
        check::<Claim>();
        check::<Event>();
        check::<EventKind>();
        check::<Failure>();
        check::<Fault>();
        check::<MockBackend>();
        check::<MockHandle>();
        check::<World>();
    }
}
