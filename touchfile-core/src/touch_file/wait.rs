//! Waiting under a deadline, and telling somebody about it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::TouchFile;
use super::lookout::{LookNow, Lookout};
use crate::{Error, Holder, LockBackend, LockMode, Result, runtime};

/// How long a wait with a deadline has lasted when it looks for the first time who is in the way,
/// to be able to say at the end for how long that was so.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// A wait that is taking long, as told to [`Builder::on_wait`](super::Builder::on_wait).
#[derive(Clone, Copy)]
pub struct WaitEvent<'a> {
    path: &'a Path,
    backend: &'static str,
    mode: LockMode,
    waited: Duration,
    lookout: &'a dyn LookNow,
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

    /// Who is in the way, as far as anybody can tell ([`LockBackend::holders`]).
    ///
    /// It is found out now, and costs nothing if nobody asks. With backends on real files it takes
    /// some milliseconds, in which this thread is blocked: ask once in a while, not each time.
    ///
    /// # Errors
    ///
    /// Those of the backend; [`io::ErrorKind::TimedOut`] if there is no answer in a quarter of a
    /// second.
    ///
    /// ```
    /// # use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # use std::time::Duration;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::builder(backend)
    ///     .path("/some/where/a.lock")
    ///     .on_wait(Duration::from_secs(10), |wait| {
    ///         for holder in wait.holders().unwrap_or_default() {
    ///             eprintln!("waiting for {holder}");
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn holders(&self) -> io::Result<Vec<Holder>> {
        self.lookout.look_now()
    }
}

impl fmt::Debug for WaitEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitEvent")
            .field("path", &self.path)
            .field("backend", &self.backend)
            .field("mode", &self.mode)
            .field("waited", &self.waited)
            .finish_non_exhaustive()
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

/// Runs `acquisition` to its end or to the deadline, reporting on the way.
///
/// There is no timer before the first poll has found that there is something to wait for.
pub(super) async fn supervise<B: LockBackend, R>(
    touch: &TouchFile<B>,
    mode: LockMode,
    timeout: Option<Duration>,
    acquisition: impl Future<Output = Result<R>>,
) -> Result<R> {
    if timeout.is_none() && touch.on_wait.is_none() {
        return acquisition.await;
    }
    let lookout = Lookout::new(touch, mode);
    match watch(touch, mode, timeout, &lookout, acquisition).await {
        Ok(done) => done,
        // What was acquired or queued for is given up by now: nobody waits for this look.
        Err(GaveUp { waited }) => Err(Error::Timeout {
            path: touch.path.clone(),
            mode,
            waited,
            holders: lookout.look_back(timeout.unwrap_or_default()).await,
        }),
    }
}

/// The deadline has passed.
struct GaveUp {
    waited: Duration,
}

async fn watch<B: LockBackend, R>(
    touch: &TouchFile<B>,
    mode: LockMode,
    timeout: Option<Duration>,
    lookout: &Lookout<'_, B>,
    acquisition: impl Future<Output = Result<R>>,
) -> Result<Result<R>, GaveUp> {
    let started = Instant::now();
    // A deadline beyond the end of time is none.
    let deadline = timeout.and_then(|timeout| started.checked_add(timeout));
    let mut report = touch
        .on_wait
        .as_ref()
        // A period beyond the end of time never passes.
        .and_then(|on_wait| Some((on_wait, started.checked_add(on_wait.period)?)));
    let mut first_look = deadline
        .and_then(|_| started.checked_add(FIRST_LOOK))
        .filter(|first| deadline > Some(*first));
    let mut looking: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
    let mut acquisition = pin!(acquisition);
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(acquisition.as_mut().poll(cx))).await {
        return Ok(done);
    }
    // It has been polled without a runtime, perhaps, and must not be asked again before it has one.
    runtime::settle().await;
    loop {
        let next_report = report.as_ref().map(|(_, next)| *next);
        let alarms = [deadline, next_report, first_look];
        let Some(alarm) = alarms.into_iter().flatten().min() else {
            return Ok(acquisition.await);
        };
        let mut alarm = pin!(runtime::sleep_until_exactly(alarm));
        let done = poll_fn(|cx| {
            if let Poll::Ready(done) = acquisition.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if let Some(look) = &mut looking
                && look.as_mut().poll(cx).is_ready()
            {
                looking = None;
            }
            alarm.as_mut().poll(cx).map(|()| None)
        });
        if let Some(done) = done.await {
            return Ok(done);
        }
        let now = Instant::now();
        let waited = now - started;
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(GaveUp { waited });
        }
        if first_look.take_if(|first| *first <= now).is_some() {
            // What it sees is remembered; if it fails, the end of the wait will tell less.
            looking = Some(Box::pin(async { drop(lookout.look().await) }));
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
                lookout,
            });
            *next += on_wait.period;
            // What was missed while the task did not run does not pile up.
            if *next <= now {
                *next = now + on_wait.period;
            }
        }
    }
}
