//! Sleeping on whichever timer is at hand.
//!
//! Inside a tokio runtime that is its own timer, so that a paused clock pauses us too. Elsewhere
//! (another executor, a bare `block_on`) one background thread of this process drives a timer.

use std::future::{self, Future};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, Sleep};

use crate::file::Process;

pub(crate) async fn sleep(duration: Duration) {
    on_a_timer(|| tokio::time::sleep(duration)).await;
}

pub(crate) async fn sleep_until(deadline: Instant) {
    on_a_timer(|| tokio::time::sleep_until(deadline)).await;
}

/// The output of `future`, or `None` if it takes longer; no timer if it is ready at once.
pub(crate) async fn timeout<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Some(output);
    }
    let mut alarm = pin!(sleep(duration));
    future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Makes the `Sleep` inside a runtime: the current one, else the background one. Once made, it
/// can be polled anywhere.
fn on_a_timer(make: impl FnOnce() -> Sleep) -> Sleep {
    if Handle::try_current().is_ok() {
        return make();
    }
    let background = background();
    let _entered = background.enter();
    make()
}

fn background() -> Handle {
    /// With the process it was started in: a forked child has its parent's handle, but not the
    /// thread.
    static BACKGROUND: Mutex<Option<(Process, Handle)>> = Mutex::new(None);
    let mut background = BACKGROUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, handle)) = &*background
        && process.is_current()
    {
        return handle.clone();
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime with nothing but a timer asks the system for nothing");
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("touchfile-timer".into())
        .spawn(move || runtime.block_on(future::pending::<()>()))
        .expect("the system refused one thread");
    *background = Some((Process::current(), handle.clone()));
    handle
}
