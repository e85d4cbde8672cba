//! Waiting under a deadline, and telling somebody about it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::TouchFile;
use super::lookout::{LookNow, Lookout};
use crate::{Error, Holder, LockBackend, LockMode, Result, runtime};

/// A wait that is taking long, as told to [`TouchFileBuilder::on_wait`](super::TouchFileBuilder::on_wait).
///
/// Displays as a sentence for the user: `waiting for the exclusive lock on /a.lock, held by pid 4242
/// (cargo build)`. To say by whom, it calls [`holders`](Self::holders), and takes as long as that.
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

impl fmt::Display for WaitEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mode, path) = (self.mode, self.path.display());
        write!(f, "waiting for the {mode} lock on {path}")?;
        // A message without the holder is better than none.
        match Holder::in_words(&self.holders().unwrap_or_default()) {
            Some(words) => write!(f, ", {words}"),
            None => Ok(()),
        }
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

/// How long a zero timeout waits for the answers to its one attempt where those take their time.
const ONE_ATTEMPT: Duration = Duration::from_secs(1);

/// Runs `acquisition` to its end or to the deadline, reporting on the way.
///
/// `asking` is set while it makes its first attempt on another thread. There is no timer before
/// the first poll has found that there is something to wait for.
pub(super) async fn supervise<B: LockBackend, R>(
    touch: &TouchFile<B>,
    mode: LockMode,
    timeout: Option<Duration>,
    asking: &AtomicBool,
    mut acquisition: Pin<&mut impl Future<Output = Result<R>>>,
) -> Result<R> {
    let started = Instant::now();
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(acquisition.as_mut().poll(cx))).await {
        return done;
    }
    // Boxed, so that those who wait without a deadline do not carry it with them.
    Box::pin(watch(touch, mode, timeout, started, asking, acquisition)).await
}

/// The rest of [`supervise`], once there is something to wait for.
async fn watch<B: LockBackend, R>(
    touch: &TouchFile<B>,
    mode: LockMode,
    timeout: Option<Duration>,
    started: Instant,
    asking: &AtomicBool,
    mut acquisition: Pin<&mut impl Future<Output = Result<R>>>,
) -> Result<R> {
    // It has been polled without a runtime, perhaps, and must not be asked again before it has one.
    runtime::yield_once().await;
    let lookout = Lookout::new(touch, mode);
    // A deadline beyond the end of time is none.
    let mut deadline = timeout.and_then(|timeout| started.checked_add(timeout));
    let mut report = touch
        .on_wait
        .as_ref()
        // A period beyond the end of time never passes.
        .and_then(|on_wait| Some((on_wait, started.checked_add(on_wait.period)?)));
    let mut looks = Lookout::<B>::times(timeout);
    let mut looking: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
    let asking = || asking.load(Ordering::Relaxed);
    let mut last_attempt = false;
    loop {
        let next_report = report.as_ref().map(|(_, next)| *next);
        let next_look = looks.last().and_then(|after| started.checked_add(*after));
        let alarms = [deadline, next_report, next_look];
        let Some(alarm) = alarms.into_iter().flatten().min() else {
            return acquisition.await;
        };
        let is_deadline = deadline == Some(alarm);
        let mut alarm = pin!(runtime::sleep_until(alarm, is_deadline));
        let done = poll_fn(|cx| {
            if let Poll::Ready(done) = acquisition.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if last_attempt && !asking() {
                return Poll::Ready(None);
            }
            if let Some(look) = &mut looking
                && look.as_mut().poll(cx).is_ready()
            {
                looking = None;
            }
            alarm.as_mut().poll(cx).map(|()| None)
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
                holders: lookout.latest(),
            });
        }
        if looks.pop_if(|after| *after <= waited).is_some() {
            looking = Some(Box::pin(lookout.look_ahead()));
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
                lookout: &lookout,
            });
            *next += on_wait.period;
            // What was missed while the task did not run does not pile up.
            if *next <= now {
                *next = now + on_wait.period;
            }
        }
    }
}
