//! Waiting in the kernel's own queue, where a lock that is free for a moment only can be had.
//!
//! A program that unlocks and locks again at once leaves the lock free for about a microsecond. No
//! poll hits that, but the kernel wakes a thread that is blocked in flock(2) right in the middle of
//! it. So who waits at the head of the queue for a holder that may be such a program has a thread
//! that is blocked on an open file description of its own. What the thread acquires is handed to
//! the wait, with that description.
//!
//! The thread ends with the wait: it is interrupted when that is dropped. Should it acquire the lock
//! at that very moment, it unlocks it before it ends, and the drop waits for that.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::interrupt::{Interruptible, interruptibly};
use crate::holders::WAITING_THREAD;
use crate::wait::system::KernelWait;
use crate::{BlockingLock, ForkGeneration, retry_interrupted};
use touchfile_core::LockMode;

/// How many such threads a process has at most: other waits poll.
const MAX_THREADS: usize = 16;

/// How long a drop waits for its thread to end before it interrupts it again: it may have been about
/// to block.
const INTERRUPT_AGAIN: Duration = Duration::from_micros(200);

/// For how long a drop waits in all. A thread that was interrupted ends as soon as it gets a processor, and
/// until then the kernel may still give it the lock, so it is waited for even on a very busy machine.
const LONGEST_CANCEL: Duration = Duration::from_millis(500);

/// For how long a drop waits for a thread that cannot be interrupted. Such a thread is left behind, and
/// unlocks what it gets at once.
const LONGEST_CANCEL_WITHOUT_SIGNAL: Duration = Duration::from_millis(5);

/// A wait in the kernel's queue; it ends when dropped.
#[derive(Debug)]
pub(super) struct WaitingThread {
    /// Missing only while it is being dropped.
    shared: Option<Arc<Shared>>,
    process: ForkGeneration,
}

#[derive(Debug)]
struct Shared {
    lock: Arc<dyn BlockingLock>,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    thread: Option<Interruptible>,
    outcome: Outcome,
    is_cancelled: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
enum Outcome {
    #[default]
    Waits,
    Acquired(File),
    /// There is nothing to be had any more: it was handed over, given up, or refused.
    Ended,
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

impl WaitingThread {
    /// Starts to wait for the lock of the file that `open` opens, with a description that nobody else
    /// uses; `None` if there are too many such waits, or no thread to be had.
    pub(super) fn start(
        lock: Arc<dyn BlockingLock>,
        mode: LockMode,
        open: impl FnOnce() -> Option<File>,
    ) -> Option<Self> {
        let slot = Slot::take()?;
        let file = open()?;
        let shared = Arc::new(Shared {
            lock,
            state: Mutex::default(),
            ended: Condvar::new(),
        });
        let theirs = shared.clone();
        thread::Builder::new()
            .name(WAITING_THREAD.into())
            .spawn(move || {
                theirs.run(file, mode);
                drop(slot);
            })
            .ok()?;
        Some(Self {
            shared: Some(shared),
            process: ForkGeneration::current(),
        })
    }
}

impl KernelWait for WaitingThread {
    fn poll_acquired(&mut self, cx: &mut Context<'_>) -> Poll<Option<File>> {
        let Some(shared) = self.shared.as_ref().filter(|_| self.process.is_current()) else {
            return Poll::Ready(None);
        };
        let mut waker = Some(cx.waker().clone());
        let mut state = shared.state();
        match std::mem::replace(&mut state.outcome, Outcome::Ended) {
            Outcome::Waits => {
                state.outcome = Outcome::Waits;
                // The old waker is swapped out, so that it is dropped while nothing is locked.
                std::mem::swap(&mut state.waker, &mut waker);
                Poll::Pending
            }
            Outcome::Acquired(file) => Poll::Ready(Some(file)),
            Outcome::Ended => Poll::Ready(None),
        }
    }
}

impl Drop for WaitingThread {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        if self.process.is_current() {
            shared.cancel();
        } else {
            // This is a forked child's copy: it has no thread, and its state may be locked for ever.
            std::mem::forget(shared);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main function of the thread.
    fn run(&self, file: File, mode: LockMode) {
        // Without a signal that could end it, the wait must not begin.
        let acquired = interruptibly(|thread| {
            self.state().thread = Some(thread);
            self.wait(&file, mode)
        });
        let acquired = acquired.is_some_and(|acquired| acquired.is_ok());
        let mut state = self.state();
        state.thread = None;
        state.outcome = Outcome::Ended;
        if acquired && state.is_cancelled {
            self.unlock(&file);
        } else if acquired {
            state.outcome = Outcome::Acquired(file);
        }
        let waker = state.waker.take();
        drop(state);
        self.ended.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wait(&self, file: &File, mode: LockMode) -> io::Result<()> {
        while !self.state().is_cancelled {
            match self.lock.lock(file, mode) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                acquired => return acquired,
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// Ends the wait: the thread has let go of everything when this returns, unless it is left behind.
    fn cancel(&self) {
        let begun = Instant::now();
        let mut state = self.state();
        state.is_cancelled = true;
        let waker = state.waker.take();
        let mut limit = LONGEST_CANCEL;
        while begun.elapsed() < limit {
            match (&state.outcome, state.thread) {
                (Outcome::Waits, Some(thread)) => {
                    if !thread.interrupt() {
                        limit = LONGEST_CANCEL_WITHOUT_SIGNAL;
                    }
                }
                // The thread had not begun to block, and will not begin.
                _ => break,
            }
            let waited = self.ended.wait_timeout(state, INTERRUPT_AGAIN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let outcome = std::mem::replace(&mut state.outcome, Outcome::Ended);
        drop(state);
        if let Outcome::Acquired(file) = outcome {
            self.unlock(&file);
        }
        drop(waker);
    }

    /// Only this wait knows of the description, so this is not to fail.
    fn unlock(&self, file: &File) {
        retry_interrupted(|| self.lock.release(file)).ok();
    }
}

/// One of the few threads that a process may have; the drop makes room for another.
#[derive(Debug)]
struct Slot;

impl Slot {
    fn take() -> Option<Self> {
        let before = THREADS.fetch_add(1, Ordering::Relaxed);
        let slot = Self;
        (before < MAX_THREADS).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tempfile::NamedTempFile;

    use super::*;

    fn start(file: &NamedTempFile) -> WaitingThread {
        WaitingThread::start(Arc::new(Flock), LockMode::Exclusive, || file.reopen().ok()).unwrap()
    }

    #[derive(Debug)]
    struct Flock;

    impl BlockingLock for Flock {
        fn lock(&self, file: &File, _: LockMode) -> io::Result<()> {
            fs4::FileExt::lock(file)
        }

        fn release(&self, file: &File) -> io::Result<()> {
            fs4::FileExt::unlock(file)
        }
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}");
            thread::yield_now();
        }
    }

    fn is_blocked(wait: &WaitingThread) -> bool {
        let thread = wait.shared.as_ref().unwrap().state().thread;
        thread.is_some_and(|thread| {
            let path = format!("/proc/self/task/{}/syscall", thread.number());
            std::fs::read_to_string(path).is_ok_and(|call| !call.starts_with("running"))
        })
    }

    #[tokio::test]
    async fn what_the_thread_acquires_comes_with_its_open_file() {
        let file = NamedTempFile::new().unwrap();
        fs4::FileExt::lock(file.as_file()).unwrap();
        let mut wait = start(&file);
        until("it is blocked", || is_blocked(&wait));
        fs4::FileExt::unlock(file.as_file()).unwrap();
        let acquired = poll_fn(|cx| wait.poll_acquired(cx)).await.unwrap();
        assert!(fs4::FileExt::try_lock(file.as_file()).is_err());
        fs4::FileExt::unlock(&acquired).unwrap();
        fs4::FileExt::try_lock(file.as_file()).unwrap();
    }

    #[test]
    fn a_dropped_wait_has_left_the_kernel_s_queue() {
        let file = NamedTempFile::new().unwrap();
        fs4::FileExt::lock(file.as_file()).unwrap();
        for _ in 0..100 {
            let wait = start(&file);
            until("it is blocked", || is_blocked(&wait));
            let shared = wait.shared.clone().unwrap();
            drop(wait);
            assert!(matches!(shared.state().outcome, Outcome::Ended));
        }
        fs4::FileExt::unlock(file.as_file()).unwrap();
        fs4::FileExt::try_lock(file.as_file()).unwrap();
    }

    #[test]
    fn a_wait_that_is_dropped_before_it_was_polled_unlocks_what_it_has() {
        let file = NamedTempFile::new().unwrap();
        let wait = start(&file);
        let acquired = || {
            let state = wait.shared.as_ref().unwrap().state();
            matches!(state.outcome, Outcome::Acquired(_))
        };
        until("it has it", acquired);
        let copy = {
            let state = wait.shared.as_ref().unwrap().state();
            let Outcome::Acquired(file) = &state.outcome else {
                panic!("it had it");
            };
            // A child between fork and exec has such a copy.
            file.try_clone().unwrap()
        };
        drop(wait);
        fs4::FileExt::try_lock(file.as_file()).unwrap();
        drop(copy);
    }
}
