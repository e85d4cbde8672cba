//! An in-memory simulator of processes, lock files and faults.
//!
//! Write your program over [`LockBackend`](touchfile_core::LockBackend); give it a real backend
//! in production and a [`MockBackend`] in tests. Nothing is expected or stubbed: a [`World`] has
//! files and processes that behave as the [laws](touchfile_core::LockBackend#the-laws) say, until
//! the test makes something go wrong.
//!
//! - **Processes** exclude each other. [`World::process`] starts one, [`World::kill`],
//!   [`World::stop`] and [`World::resume`] do what the signals do.
//! - **Files** can be [unlinked](World::unlink), [replaced](World::replace),
//!   [renamed](World::rename) and [linked](World::hard_link) under their users.
//! - **Faults** are armed in advance: [failures](World::fail_next), [refusals](World::refuse_next)
//!   and [delays](World::delay_next), for all calls or as narrow as a [`Fault`] says. A held lock
//!   can be [lost](World::lose_lock).
//! - **Questions**: who [holds](World::holders) the lock, who [waits](World::waiters), what
//!   [happened](World::history).
//! - **Backends that can less** are simulated by [`MockBackend::with_capabilities`].
//!
//! Nothing here polls, and no time passes but in a delay fault. So the outcome is the same on
//! every run, tests with tokio's paused clock see the times they expect, and any executor will do.
//!
//! # What if the lock times out, the unlock fails, the holder dies?
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
//! /// What is tested: does a job under a lock, and gives up after five seconds.
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
//! // The lock times out: another process holds it. The clock is paused: this takes no time.
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
//! println!("{}", world.story()); // … 5.000s: me stopped waiting for the exclusive lock …
//! # assert!(world.story().contains("5.000s: me stopped waiting for the exclusive lock on /job"));
//! # }
//! ```
#![forbid(unsafe_code)]

mod backend;
mod claim;
mod fault;
mod handle;
mod history;
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
