//! The handles of a walk, and their waits.

use std::future::{Future, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use touchfile_core::{LockHandle, LockMode};

pub(super) type Handle = Box<dyn LockHandle>;

/// A handle on a file, and what the caller knows of it.
pub(super) struct Slot {
    /// What it is called in stories.
    pub(super) name: u32,
    pub(super) file: usize,
    pub(super) path: PathBuf,
    /// The path names another file by now.
    pub(super) stale: bool,
    pub(super) held: Option<LockMode>,
    /// It may stand among those who wait, though it does not wait.
    pub(super) has_place: bool,
    pub(super) kept: Kept,
}

pub(super) enum Kept {
    Idle(Handle),
    Waiting(Wait),
    /// A call is under way, or has panicked.
    Away,
}

/// A wait together with the handle that it borrows, which comes back at its end.
pub(super) struct Wait {
    pub(super) mode: LockMode,
    /// That in which it began, and which alone drives its timers.
    pub(super) runtime: usize,
    future: Pin<Box<dyn Future<Output = (Handle, End)> + Send>>,
    given_up: Arc<AtomicBool>,
}

pub(super) enum End {
    Failed(io::Error),
    GivenUp,
    Granted,
}

impl Wait {
    pub(super) fn new(mut handle: Handle, mode: LockMode, runtime: usize) -> Self {
        let given_up = Arc::new(AtomicBool::new(false));
        let flag = given_up.clone();
        let future = async move {
            let end = {
                let mut lock = pin!(handle.lock(mode));
                poll_fn(|cx| {
                    if flag.load(Ordering::Relaxed) {
                        return Poll::Ready(End::GivenUp);
                    }
                    lock.as_mut().poll(cx).map(|result| match result {
                        Ok(()) => End::Granted,
                        Err(error) => End::Failed(error),
                    })
                })
                .await
            };
            (handle, end)
        };
        Self {
            mode,
            runtime,
            future: Box::pin(future),
            given_up,
        }
    }

    pub(super) fn future(&mut self) -> Pin<&mut (dyn Future<Output = (Handle, End)> + Send)> {
        self.future.as_mut()
    }

    /// The next poll drops the future of `lock`, and comes back with the handle.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

impl Slot {
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.kept, Kept::Idle(_)) && self.held.is_none()
    }

    pub(super) fn waits_for(&self) -> Option<LockMode> {
        match &self.kept {
            Kept::Waiting(wait) => Some(wait.mode),
            _ => None,
        }
    }
}
