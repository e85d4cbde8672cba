//! Watches the locks while the command runs.

use std::future::{Future, poll_fn};
use std::io::{self, PipeReader, PipeWriter};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Scope, Thread};
use std::time::Duration;

use touchfile::{Error, LockBackend};
use touchfile_core::runtime;

use crate::exit::{Failure, say};
use crate::run::locks::Held;

/// The time between two looks at a lock. On NFS a look takes three round trips to the server.
const INTERVAL: Duration = Duration::from_secs(1);

/// A thread that looks at the locks. It ends when this is dropped, without waiting for an answer of the
/// file system.
#[derive(Debug)]
pub(super) struct LossWatch<'scope> {
    shared: Arc<Shared>,
    thread: thread::ScopedJoinHandle<'scope, ()>,
}

#[derive(Debug, Default)]
struct Shared {
    loss: OnceLock<Error>,
    is_over: AtomicBool,
}

impl<'scope> LossWatch<'scope> {
    /// Starts to watch. The pipe becomes readable when one of the locks is lost.
    pub(super) fn start<'env, B: LockBackend>(
        scope: &'scope Scope<'scope, 'env>,
        held: &'env [Held<B>],
    ) -> io::Result<(Self, PipeReader)> {
        let (reading, writing) = io::pipe()?;
        let shared = Arc::new(Shared::default());
        let watching = shared.clone();
        let thread = thread::Builder::new()
            .name("touchfile-watch".into())
            .spawn_scoped(scope, move || watch(held, &watching, writing))?;
        Ok((Self { shared, thread }, reading))
    }

    /// How the lock was lost, once the pipe is readable.
    pub(super) fn loss(&self) -> Option<&Error> {
        self.shared.loss.get()
    }
}

impl Drop for LossWatch<'_> {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }
}

/// Waits for the first loss of all locks. When it has found one, it closes the pipe.
fn watch<B: LockBackend>(held: &[Held<B>], shared: &Shared, _pipe: PipeWriter) {
    let losses = held.iter().map(|guard| Box::pin(loss_of(guard)));
    let mut losses: Vec<_> = losses.collect();
    let first = poll_fn(|cx| {
        let polled = losses.iter_mut().map(|loss| loss.as_mut().poll(cx));
        polled
            .into_iter()
            .find(Poll::is_ready)
            .unwrap_or(Poll::Pending)
    });
    if let Some(loss) = drive(pin!(first), &shared.is_over) {
        shared.loss.set(loss).ok(); // nobody else sets it
    }
}

/// Waits until this lock is lost. A failure to find out is reported once, and is no loss.
async fn loss_of<B: LockBackend>(guard: &Held<B>) -> Error {
    let mut is_told = false;
    loop {
        match guard.lost(INTERVAL).await {
            lost @ Error::Lost { .. } => return lost,
            unknown if is_told => drop(unknown),
            unknown => {
                is_told = true;
                let line = Failure::from(unknown).into_line();
                say(&format!("{line}; it may be lost, and is looked at again"));
            }
        }
        runtime::sleep(INTERVAL).await;
    }
}

/// Polls `future` on this thread until it is ready, or until all `is_over`.
fn drive<T>(mut future: Pin<&mut impl Future<Output = T>>, is_over: &AtomicBool) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    while !is_over.load(Ordering::Acquire) {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        thread::park();
    }
    None
}
