//! Timers and descriptors on whichever runtime is at hand.
//!
//! Inside a tokio runtime that is the current one, so that a paused clock pauses us too, and so
//! that an event wakes the thread that waits for it and no other. Elsewhere (another executor, a
//! bare `block_on`) one background thread of this process drives both.

use std::future::{self, Future};
use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

#[cfg(target_os = "linux")]
use tokio::runtime::Id;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{Instant, Sleep};

use crate::file::Process;

pub(crate) async fn sleep(duration: Duration) {
    settle().await;
    alarm(Instant::now() + duration).await;
}

/// Sleeps until `deadline`, and not much longer if it is `exactly` then.
///
/// tokio's timer counts in milliseconds, and so does epoll_wait(2) below it; both round up. So it
/// wakes two of them before, and the rest is spent yielding.
pub(crate) async fn sleep_until(deadline: Instant, exactly: bool) {
    const TICK: Duration = Duration::from_millis(1);
    settle().await;
    if !exactly {
        return alarm(deadline).await;
    }
    if let Some(before) = deadline.checked_sub(2 * TICK) {
        alarm(before).await;
    }
    // By the real clock, for a paused one would stand still.
    let woken = std::time::Instant::now();
    while Instant::now() < deadline {
        if woken.elapsed() > 3 * TICK {
            return alarm(deadline).await;
        }
        tokio::task::yield_now().await;
    }
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

/// To be awaited before a runtime is used: a thread that blocks polls for the first time without
/// one, and gets its own if it has to wait.
pub(crate) async fn settle() {
    tokio::task::yield_now().await;
}

/// A sleep on the timer of the current runtime, else of the background one. Once made, it can be
/// polled anywhere.
pub(crate) fn alarm(at: Instant) -> Sleep {
    if Handle::try_current().is_ok() {
        return tokio::time::sleep_until(at);
    }
    let background = background().expect("a wait without a runtime needs one thread");
    let _entered = background.enter();
    tokio::time::sleep_until(at)
}

/// A runtime that watches descriptors: the current one, or the background one if there is none,
/// or if it was built without (`enable_time` alone); none if the system lets nobody watch.
#[cfg(target_os = "linux")]
pub(crate) fn reactor() -> Option<Handle> {
    let current = Handle::try_current().ok();
    current
        .filter(watches_descriptors)
        .or_else(|| background().ok().filter(watches_descriptors))
}

/// Runtimes that are known to have a reactor or none.
#[cfg(target_os = "linux")]
static REACTORS: Mutex<Vec<(Id, bool)>> = Mutex::new(Vec::new());

/// So many of the latest runtimes are known.
#[cfg(target_os = "linux")]
const KNOWN: usize = 64;

#[cfg(target_os = "linux")]
fn note_reactor(runtime: Id, is_there: bool) {
    let mut known = REACTORS.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() == KNOWN {
        known.remove(0);
    }
    known.push((runtime, is_there));
}

/// Whether a runtime was built with `enable_io`.
///
/// tokio tells by a panic alone, so it is asked once for each runtime, and not at all where a panic
/// would be the end of the program.
#[cfg(target_os = "linux")]
fn watches_descriptors(runtime: &Handle) -> bool {
    let known = || {
        let known = REACTORS.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(id, _)| *id == runtime.id()).copied()
    };
    if let Some((_, is_there)) = known() {
        return is_there;
    }
    if cfg!(panic = "abort") {
        return false;
    }
    let _entered = runtime.enter();
    // An error is not an answer: there may be no descriptor left for the question. No lock is held:
    // a panic hook may do anything.
    let asked = std::panic::catch_unwind(|| drop(tokio::net::UnixDatagram::unbound()));
    note_reactor(runtime.id(), asked.is_ok());
    asked.is_ok()
}

fn background() -> io::Result<Handle> {
    /// With the process it was started in: a forked child has its parent's handle, but not the
    /// thread.
    static BACKGROUND: Mutex<Option<(Process, Handle)>> = Mutex::new(None);
    let mut background = BACKGROUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, handle)) = &*background
        && process.is_current()
    {
        return Ok(handle.clone());
    }
    let runtime = current_thread();
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("touchfile-timer".into())
        .spawn(move || runtime.block_on(future::pending::<()>()))?;
    *background = Some((Process::current(), handle.clone()));
    Ok(handle)
}

/// A small runtime that watches descriptors if the system lets it, and has a timer in any case.
pub(crate) fn current_thread() -> Runtime {
    let with = Builder::new_current_thread().enable_all().build();
    #[cfg(target_os = "linux")]
    let has_reactor = with.is_ok();
    let runtime = with.unwrap_or_else(|_| {
        Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime with nothing but a timer asks the system for nothing")
    });
    #[cfg(target_os = "linux")]
    note_reactor(runtime.handle().id(), has_reactor);
    runtime
}
