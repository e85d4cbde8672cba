//! Runs futures together, and polls each only when it was woken itself.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Runs all futures to their end.
///
/// `tokio::join!` polls all its futures whenever one is woken. That would hide a backend that forgets
/// to wake a waiter, so each future here has a waker of its own.
pub(super) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut tasks: Vec<Task<F>> = futures.into_iter().map(Task::new).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for task in &mut tasks {
            pending |= task.poll(cx).is_pending();
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    tasks.into_iter().filter_map(|task| task.output).collect()
}

struct Task<F: Future> {
    future: Pin<Box<F>>,
    wakeup: Arc<Wakeup>,
    output: Option<F::Output>,
}

impl<F: Future> Task<F> {
    fn new(future: F) -> Self {
        let wakeup = Wakeup {
            woken: AtomicBool::new(true),
            outer: Mutex::new(Waker::noop().clone()),
        };
        Self {
            future: Box::pin(future),
            wakeup: Arc::new(wakeup),
            output: None,
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.output.is_some() {
            return Poll::Ready(());
        }
        self.wakeup.outer().clone_from(cx.waker());
        if !self.wakeup.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(self.wakeup.clone());
        self.future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .map(|output| self.output = Some(output))
    }
}

/// Whether a future was woken, and the waker of the task that polls it.
struct Wakeup {
    woken: AtomicBool,
    outer: Mutex<Waker>,
}

impl Wakeup {
    fn outer(&self) -> std::sync::MutexGuard<'_, Waker> {
        self.outer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.outer().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_future_that_is_not_woken_is_not_polled() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (sleeper, done) = (Cell::new(0), Cell::new(None::<Waker>));
        let (sleeper, done) = (&sleeper, &done);
        let sleep = poll_fn(move |cx| {
            sleeper.set(sleeper.get() + 1);
            done.set(Some(cx.waker().clone()));
            if sleeper.get() == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let work = async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(sleeper.get(), 1);
            done.take().unwrap().wake();
        };
        let futures: [Pin<Box<dyn Future<Output = ()>>>; 2] = [Box::pin(sleep), Box::pin(work)];
        assert_eq!(runtime.block_on(join_all(futures)).len(), 2);
        assert_eq!(sleeper.get(), 2);
    }
}
