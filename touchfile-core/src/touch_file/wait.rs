//! Waiting under a deadline, and telling somebody about it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::trace::{Level, field, warn};
use tokio::time::Instant;

use super::TouchFile;
use super::sampler::HolderSampler;
use super::wait_event::WaitEvent;
use crate::{Error, LockBackend, LockMode, Result, runtime};

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

/// How far an acquisition is, for [`supervise`], which bounds it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The first attempt is being made on another thread, which takes its time whether or not the
    /// lock is free.
    pub(super) asking: Flag,
    /// The queue inside the process is behind it.
    pub(super) has_turn: Flag,
    /// The wait stands behind others, who may not take their turn.
    pub(super) stands_behind: Flag,
    /// The caller has taken the lock itself.
    pub(super) is_recursive: Flag,
    /// The wait has ended with the lock or an error.
    pub(super) has_ended: Flag,
}

impl Progress {
    /// What has failed is tried again.
    pub(super) fn start_over(&self) {
        for flag in [
            &self.asking,
            &self.has_turn,
            &self.stands_behind,
            &self.has_ended,
        ] {
            flag.set(false);
        }
    }
}

/// A boolean that one part of a future sets and another part reads.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long a zero timeout waits for the answers to its one attempt where those take their time.
const ONE_ATTEMPT: Duration = Duration::from_secs(1);

/// When a wait is so long that the log warns of it; then after twice the time, and so on.
const LONG_WAIT: Duration = Duration::from_secs(30);

/// Whether anybody reads warnings.
#[inline]
pub(super) fn warns_of_long_waits() -> bool {
    crate::trace::enabled!(target: "touchfile", Level::WARN)
}

async fn warn_of_long_wait<B: LockBackend>(sampler: &HolderSampler<'_, B>, waited: Duration) {
    let holders = sampler.sample_in_words().await;
    let holders = holders.as_deref().map(field::display);
    warn!(target: "touchfile", ?waited, holders, "still waiting");
}

/// Runs `acquisition` to its end or to the deadline, reporting on the way.
///
/// There is no timer before the first poll has found that there is something to wait for.
pub(super) async fn supervise<B: LockBackend, R>(
    touch: &TouchFile<B>,
    mode: LockMode,
    timeout: Option<Duration>,
    progress: &Progress,
    mut acquisition: Pin<&mut impl Future<Output = Result<R>>>,
) -> Result<R> {
    let started = Instant::now();
    if let Poll::Ready(done) = runtime::poll_once(acquisition.as_mut()).await {
        return done;
    }
    // Boxed, so that those who wait without a deadline do not carry it with them.
    Box::pin(watch(touch, mode, timeout, started, progress, acquisition)).await
}

/// The rest of [`supervise`], once there is something to wait for.
async fn watch<B: LockBackend, R>(
    touch: &TouchFile<B>,
    mode: LockMode,
    timeout: Option<Duration>,
    started: Instant,
    progress: &Progress,
    mut acquisition: Pin<&mut impl Future<Output = Result<R>>>,
) -> Result<R> {
    // The first poll may have had no runtime, and the acquisition must not be polled again before it
    // has one.
    runtime::yield_once().await;
    let sampler = HolderSampler::new(touch, mode);
    // A deadline beyond the end of time is none.
    let mut deadline = timeout.and_then(|timeout| started.checked_add(timeout));
    let mut report = touch
        .on_wait
        .as_ref()
        // A period beyond the end of time never passes.
        .and_then(|on_wait| Some((on_wait, started.checked_add(on_wait.period)?)));
    let mut samples = HolderSampler::<B>::times(timeout);
    let mut sampling: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
    let asking = || progress.asking.is_set();
    let mut last_attempt = false;
    let mut warning = warns_of_long_waits().then_some(LONG_WAIT);
    loop {
        let next_report = report.as_ref().map(|(_, next)| *next);
        let next_sample = samples.last().and_then(|after| started.checked_add(*after));
        let next_warning = warning.and_then(|after| started.checked_add(after));
        let alarms = [deadline, next_report, next_sample, next_warning];
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
            sampling.take_if(|sample| sample.as_mut().poll(cx).is_ready());
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
                permits: touch.permits,
                waited,
                holders: sampler.take_latest(),
                queued: !progress.has_turn.is_set(),
                recursive: progress.is_recursive.is_set(),
            });
        }
        if samples.last().is_some_and(|after| *after <= waited) {
            samples.pop();
            sampling = Some(Box::pin(sampler.sample_for_timeout()));
        }
        if let Some(after) = warning.as_mut().filter(|after| **after <= waited) {
            *after *= 2;
            sampling = Some(Box::pin(warn_of_long_wait(&sampler, waited)));
        }
        if let Some((on_wait, next)) = report.as_mut().filter(|(_, next)| *next <= now) {
            let (path, backend) = (touch.path(), touch.backend.name());
            (on_wait.report)(&WaitEvent {
                path,
                backend,
                mode,
                permits: touch.permits,
                waited,
                sampler: &sampler,
            });
            let following = next.checked_add(on_wait.period).filter(|next| *next > now);
            // Reports that were missed while the task did not run do not pile up.
            match following.or_else(|| now.checked_add(on_wait.period)) {
                Some(following) => *next = following,
                None => report = None,
            }
        }
    }
}
