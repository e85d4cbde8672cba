//! Timers, and tokio runtimes, for backends that wait.
//!
//! Inside a tokio runtime these functions use the current one, so that a paused clock pauses the
//! wait too, and so that an event wakes the thread that waits for it and no other. Elsewhere
//! (another executor, a bare `block_on`) they use one background thread of this process.

use std::future::{self, Future};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Id, Runtime};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

/// Sleeps for `duration`.
///
/// # Panics
///
/// In a tokio runtime that was built without `enable_time`, and where there is no runtime and no
/// thread can be started.
///
/// # Cancel safety
///
/// Dropping the future ends the sleep.
pub async fn sleep(duration: Duration) {
    yield_once().await;
    match Instant::now().checked_add(duration) {
        Some(end) => timer(end).await,
        None => future::pending().await, // it ends beyond the end of time
    }
}

/// Sleeps until `deadline`, and not much longer if it is `exactly` then.
///
/// tokio's timer counts in milliseconds, and so does epoll_wait(2) below it; both round up. So it
/// wakes two of them before, and the rest is spent yielding.
pub(crate) async fn sleep_until(deadline: Instant, exactly: bool) {
    const TICK: Duration = Duration::from_millis(1);
    yield_once().await;
    if !exactly {
        return timer(deadline).await;
    }
    if let Some(before) = deadline.checked_sub(2 * TICK) {
        timer(before).await;
    }
    // The real clock is used: a paused one would stand still.
    let woken = std::time::Instant::now();
    while Instant::now() < deadline {
        if woken.elapsed() > 3 * TICK {
            return timer(deadline).await;
        }
        tokio::task::yield_now().await;
    }
}

/// The output of `future`, or `None` if it takes longer; no timer if it is ready at once.
pub(crate) async fn timeout<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_once(future.as_mut()).await {
        return Some(output);
    }
    let mut timer = pin!(sleep(duration));
    future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Polls a future once, so that its caller can tell whether there is anything to wait for.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Lets the executor run something else, once. A future that may be polled by
/// [`TouchFile::blocking`](crate::TouchFile::blocking) awaits this before it uses a runtime: a thread
/// that blocks polls for the first time without a runtime, and gets one if it has to wait.
pub async fn yield_once() {
    tokio::task::yield_now().await;
}

/// A sleep until `at`, on the timer of the current runtime, else of the background thread.
///
/// # Panics
///
/// As [`sleep`].
pub fn timer(at: Instant) -> Timer {
    Timer {
        sleep: Box::pin(sleep_on_current(at)),
        runtime: current_id(),
    }
}

/// A sleep that goes along when it is polled in another runtime than before; made by [`timer`].
///
/// The timer of the runtime that it leaves may never be driven again.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// The runtime that it was polled in last, if that was in one.
    runtime: Option<Id>,
}

impl Timer {
    /// Changes when it ends.
    pub fn reset(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let current = current_id();
        if current != self.runtime {
            let at = self.sleep.deadline();
            self.sleep = Box::pin(sleep_on_current(at));
            self.runtime = current;
        }
        self.sleep.as_mut().poll(cx)
    }
}

fn current_id() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

fn sleep_on_current(at: Instant) -> Sleep {
    if Handle::try_current().is_ok() {
        return tokio::time::sleep_until(at);
    }
    let background = background().expect("a wait without a runtime needs one thread");
    let _entered = background.enter();
    tokio::time::sleep_until(at)
}

/// A runtime with an IO driver, for backends that wait for descriptors: the current one, or the
/// background thread's if there is none or if it was built without (`enable_time` alone). `None` if
/// neither has one.
///
/// tokio does not tell whether a runtime has an IO driver, so `probe` finds out: it is called inside
/// the runtime, at most once for each, and not at all for those that this crate made itself.
pub fn with_io(probe: impl Fn() -> bool) -> Option<Handle> {
    let has_io = |runtime: &Handle| {
        io_driver(runtime).unwrap_or_else(|| {
            let _entered = runtime.enter();
            // No lock is held while it is called, as it may run anything.
            let has_io = probe();
            note_io_driver(runtime.id(), has_io);
            has_io
        })
    };
    let current = Handle::try_current().ok();
    current
        .filter(has_io)
        .or_else(|| background().ok().filter(has_io))
}

/// The latest runtimes of which it is known whether they have an IO driver.
static IO_DRIVERS: Mutex<Vec<(Id, bool)>> = Mutex::new(Vec::new());

/// How many runtimes are remembered.
const REMEMBERED: usize = 64;

fn io_driver(runtime: &Handle) -> Option<bool> {
    let known = IO_DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known.iter().find(|(id, _)| *id == runtime.id());
    found.map(|(_, has_io)| *has_io)
}

fn note_io_driver(runtime: Id, has_io: bool) {
    let mut known = IO_DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() == REMEMBERED {
        known.remove(0);
    }
    known.push((runtime, has_io));
}

fn background() -> io::Result<Handle> {
    /// With the id of the process that started it: a forked child has its parent's handle, but not
    /// the thread.
    static BACKGROUND: Mutex<Option<(u32, Handle)>> = Mutex::new(None);
    let mut background = BACKGROUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, handle)) = &*background {
        if *process == std::process::id() {
            return Ok(handle.clone());
        }
    }
    let runtime = current_thread();
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("touchfile-timer".into())
        .spawn(move || runtime.block_on(future::pending::<()>()))?;
    *background = Some((std::process::id(), handle.clone()));
    Ok(handle)
}

/// A small runtime with a timer, and with an IO driver if tokio has one and the system allows it.
pub(crate) fn current_thread() -> Runtime {
    let complete = Builder::new_current_thread().enable_all().build();
    let refused = complete.is_err();
    let runtime = complete.unwrap_or_else(|_| {
        Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime with nothing but a timer asks the system for nothing")
    });
    if refused {
        note_io_driver(runtime.handle().id(), false);
    }
    runtime
}

/// Panics in an async task, every time, and not only when there happens to be something to wait
/// for: tokio offers this check only as part of its own blocking calls. Where there is no runtime
/// at all, there is nothing to check, which is half the price.
#[inline]
#[track_caller]
pub(crate) fn refuse_in_async() {
    if Handle::try_current().is_ok() {
        drop(tokio::sync::Mutex::const_new(()).blocking_lock());
    }
}

/// Drives a future to its end on this thread.
///
/// Futures that are ready at once, as those of a free lock are, need no runtime. For the others
/// the thread's own small runtime lends them a timer and a reactor. What waits yields once before
/// it asks for either, so that it does not get those of another runtime.
///
/// A thread that is ending has no runtime any more: `future` must do without then.
#[inline]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    if let Some(output) = now_or_never(future.as_mut()) {
        return output;
    }
    if let Some(output) = block_in_runtime(future.as_mut()) {
        return output;
    }
    loop {
        if let Some(output) = block_on_timeout(Duration::from_secs(1), future.as_mut()) {
            return output;
        }
    }
}

/// [`block_on`] for a future that cannot do without a runtime: `None` on a thread that is ending,
/// in the destructor of one of its thread-local values, if `future` is not ready at once.
#[inline]
pub(crate) fn block_on_unless_ending<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match now_or_never(future.as_mut()) {
        Some(output) => Some(output),
        None => block_in_runtime(future.as_mut()),
    }
}

fn block_in_runtime<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    thread_local! {
        static RUNTIME: Runtime = current_thread();
    }
    if Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
        return None;
    }
    RUNTIME.try_with(|runtime| runtime.block_on(future)).ok()
}

/// The output of a future that is ready at once, as those of backends on local files are.
#[inline]
pub(crate) fn now_or_never<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Blocks the thread until `future` is ready, for this long at the most.
///
/// Unlike a runtime's `block_on`, it works inside an async task.
pub(crate) fn block_on_timeout<F: Future>(most: Duration, future: F) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    // The budget of the task around us is not renewed before it returns to its runtime.
    let mut future = pin!(unconstrained(future));
    let started = std::time::Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let left = most.checked_sub(started.elapsed())?;
        // A thread that is ending may not know itself any more, and not be woken then.
        thread::park_timeout(left.min(Duration::from_millis(10)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_ends_when_the_answer_comes_or_the_time_is_up() {
        let (send, receive) = tokio::sync::oneshot::channel();
        thread::spawn(move || send.send(7));
        let answer = block_on_timeout(Duration::from_secs(60), receive);
        assert_eq!(answer.unwrap().unwrap(), 7);
        let started = std::time::Instant::now();
        let most = Duration::from_millis(20);
        assert!(block_on_timeout(most, std::future::pending::<()>()).is_none());
        assert!(started.elapsed() >= most);
    }
}
