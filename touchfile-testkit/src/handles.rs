//! Handles of the tested backend: how they are opened, polled and waited with.

use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{BoxBackend, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions};

/// A handle of whatever backend is tested.
pub(crate) type Handle = Box<dyn LockHandle>;

/// The modes in which a backend with these claims can lock.
pub(crate) fn modes(claims: Capabilities) -> &'static [LockMode] {
    if claims.shared {
        &[Exclusive, Shared]
    } else {
        &[Exclusive]
    }
}

/// A runtime of one thread, the calling one: a process of several cannot be forked safely.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Opens a handle in the usual way.
pub(crate) fn open(backend: &BoxBackend, runtime: &Runtime, path: &Path) -> io::Result<Handle> {
    runtime.block_on(backend.open(path, &OpenOptions::new()))
}

/// Polls a future once.
pub(crate) async fn poll_once<F>(mut future: Pin<&mut F>) -> Poll<F::Output>
where
    F: Future + ?Sized,
{
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls a future this many times, lets other tasks run in between, and returns its output if it
/// has ended.
pub(crate) async fn poll_times<F: Future>(times: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(output) = poll_once(future.as_mut()).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// A `lock` future together with the handle that it borrows, which comes back at its end.
pub(crate) struct Wait {
    future: Pin<Box<dyn Future<Output = (Handle, WaitEnd)> + Send>>,
    cancelled: Arc<AtomicBool>,
}

/// How a wait ended.
pub(crate) enum WaitEnd {
    Cancelled,
    Failed(io::Error),
    Granted,
}

impl Wait {
    pub(crate) fn new(mut handle: Handle, mode: LockMode) -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = cancelled.clone();
        let future = Box::pin(async move {
            let end = {
                let mut lock = pin!(handle.lock(mode));
                poll_fn(|cx| {
                    if flag.load(Ordering::Relaxed) {
                        return Poll::Ready(WaitEnd::Cancelled);
                    }
                    lock.as_mut().poll(cx).map(|result| match result {
                        Ok(()) => WaitEnd::Granted,
                        Err(error) => WaitEnd::Failed(error),
                    })
                })
                .await
            };
            (handle, end)
        });
        Self { future, cancelled }
    }

    pub(crate) fn future(&mut self) -> Pin<&mut (dyn Future<Output = (Handle, WaitEnd)> + Send)> {
        self.future.as_mut()
    }

    /// Lets the next poll drop the `lock` future and return the handle.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}
