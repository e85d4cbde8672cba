//! Waiting under a deadline, and telling somebody about it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::TouchFile;
use crate::{Error, LockBackend, LockMode, Result, runtime};

/// A wait that is taking long, as told to [`Builder::on_wait`](super::Builder::on_wait).
#[derive(Clone, Copy, Debug)]
pub struct WaitEvent<'a> {
    path: &'a Path,
    backend: &'static str,
    mode: LockMode,
    waited: Duration,
}

impl WaitEvent<'_> {
    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path
    }

    /// The name of the backend.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// The mode that is waited for.
    #[must_use]
    pub fn mode(&self) -> LockMode {
        self.mode
    }

    /// How long it has been waited for, the queue inside the process included.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

#[derive(Clone)]
pub(super) struct OnWait {
    pub(super) period: Duration,
    pub(super) report: Arc<dyn Fn(&WaitEvent<'_>) + Send + Sync>,
}

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnWait")
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}

/// How long a zero timeout waits for the answers to its one attempt where those take their time.
const ONE_ATTEMPT: Duration = Duration::from_secs(1);

/// Runs `acquisition` to its end or to the deadline, reporting on the way.
///
/// `asking` is set while it makes its first attempt on another thread. There is no timer before the first poll has found that there is something to wait for.
pub(super) async fn supervise<B: LockBackend, R>(
    touch: &TouchFile<B>,
    mode: LockMode,
    timeout: Option<Duration>,
    asking: &AtomicBool,
    acquisition: impl Future<Output = Result<R>>,
) -> Result<R> {
    if timeout.is_none() && touch.on_wait.is_none() {
        return acquisition.await;
    }
    let started = Instant::now();
    // A deadline beyond the end of time is none.
    let mut deadline = timeout.and_then(|timeout| started.checked_add(timeout));
    let mut report = touch
        .on_wait
        .as_ref()
        // A period beyond the end of time never passes.
        .and_then(|on_wait| Some((on_wait, started.checked_add(on_wait.period)?)));
    let asking = || asking.load(Ordering::Relaxed);
    let mut last_attempt = false;
    let mut acquisition = pin!(acquisition);
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(acquisition.as_mut().poll(cx))).await {
        return done;
    }
    loop {
        let alarm = match (deadline, &report) {
            (Some(deadline), Some((_, next))) => deadline.min(*next),
            (Some(deadline), None) => deadline,
            (None, Some((_, next))) => *next,
            (None, None) => return acquisition.await,
        };
        let mut alarm = pin!(runtime::sleep_until_exactly(alarm));
        let done = poll_fn(|cx| match acquisition.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if last_attempt && !asking() => Poll::Ready(None),
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
        });
        if let Some(done) = done.await {
            return done;
        }
        let now = Instant::now();
        let waited = now - started;
        if last_attempt && !asking() || deadline.is_some_and(|deadline| deadline <= now) {
            if !last_attempt && timeout == Some(Duration::ZERO) && asking() {
                last_attempt = true;
                deadline = started.checked_add(ONE_ATTEMPT);
                continue;
            }
            return Err(Error::Timeout {
                path: touch.path.clone(),
                mode,
                waited,
            });
        }
        if let Some((on_wait, next)) = &mut report
            && *next <= now
        {
            let (path, backend) = (touch.path(), touch.backend.name());
            (on_wait.report)(&WaitEvent {
                path,
                backend,
                mode,
                waited,
            });
            *next += on_wait.period;
            // What was missed while the task did not run does not pile up.
            if *next <= now {
                *next = now + on_wait.period;
            }
        }
    }
}
