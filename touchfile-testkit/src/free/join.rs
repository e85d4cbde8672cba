//! Running futures together, each polled only when it is itself woken.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Runs all futures to their end.
///
/// `tokio::join!` polls all of its futures whenever one is woken, which would hide a backend that
/// forgets to wake a waiter. Here each has a waker of its own.
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
    bell: Arc<Bell>,
    output: Option<F::Output>,
}

impl<F: Future> Task<F> {
    fn new(future: F) -> Self {
        let bell = Bell {
            rung: AtomicBool::new(true),
            outer: Mutex::new(Waker::noop().clone()),
        };
        Self {
            future: Box::pin(future),
            bell: Arc::new(bell),
            output: None,
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.output.is_some() {
            return Poll::Ready(());
        }
        self.bell.outer().clone_from(cx.waker());
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(self.bell.clone());
        self.future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .map(|output| self.output = Some(output))
    }
}

struct Bell {
    rung: AtomicBool,
    outer: Mutex<Waker>,
}

impl Bell {
    fn outer(&self) -> std::sync::MutexGuard<'_, Waker> {
        self.outer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
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
