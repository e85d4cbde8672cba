//! The wait at the head of the queue.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use touchfile_core::runtime::{self, Timer};
use touchfile_core::{Attempt, LockMode};

use super::poll_interval::PollInterval;
use super::system::{FileEvents, KernelWait};
use super::{Contended, Waiter, system};

impl Waiter {
    /// Waits for the lock at the head of the queue, and returns the events it has used, to be dropped
    /// when there is time.
    pub(super) async fn wait_at_head(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
    ) -> io::Result<Option<Box<dyn FileEvents>>> {
        // The head is often handed over with a release.
        if self.try_a_few_times(lock, mode).await? {
            return Ok(None);
        }
        let mut events = watch(lock);
        let mut alarm = pin!(runtime::timer(tokio::time::Instant::now()));
        let mut watch_again_at = None;
        let mut storm = StormMeter::default();
        let mut early_until = None;
        let mut path_checked = None;
        let mut kernel_wait = None;
        let mut kernel_wait_at = Instant::now() + KERNEL_WAIT_AFTER;
        let mut interval =
            PollInterval::new(lock.listing(mode).and_then(|lock| system().probe(lock)));
        // It may have been released before it was watched.
        let mut acquired = self.try_lock(lock, mode)? == Attempt::Acquired;
        while !acquired {
            let now = Instant::now();
            if path_checked.is_none_or(|then| now > then + CHECK_PATH) {
                lock.check_path()?;
                path_checked = Some(now);
            }
            if watch_again_at.is_some_and(|then| now > then) {
                events = watch(lock);
                watch_again_at = None;
            }
            if kernel_wait.is_none() && now > kernel_wait_at {
                kernel_wait = wait_in_kernel(lock, mode);
                kernel_wait_at = now + KERNEL_WAIT_RETRY;
            }
            let pause = match (&events, &kernel_wait) {
                _ if early_until.is_some_and(|until| now < until) => EARLY_POLL,
                (Some(_), Some(_)) => RAREST_POLL,
                (Some(_), None) => interval.next(POLL, RAREST_POLL),
                (None, Some(_)) => CHECK_PATH,
                (None, None) => POLL,
            };
            alarm.as_mut().reset(next_common_poll(pause));
            let woken = self
                .until_woken(lock, mode, &mut kernel_wait, &mut events, alarm.as_mut())
                .await?;
            acquired = match woken {
                Woken::Acquired => true,
                // It may have gone off before there was a pause.
                Woken::ByAlarm => self.try_lock(lock, mode)? == Attempt::Acquired,
                Woken::ByEvent => {
                    early_until = Some(Instant::now() + EARLY);
                    path_checked = None;
                    interval.reset();
                    if storm.is_one_with_another_event() {
                        events = None;
                        watch_again_at = Some(Instant::now() + STORM_PAUSE);
                    }
                    self.try_a_few_times(lock, mode).await?
                }
                Woken::ByStorm => {
                    events = None;
                    watch_again_at = Some(Instant::now() + STORM_PAUSE);
                    interval.reset();
                    self.try_lock(lock, mode)? == Attempt::Acquired
                }
                Woken::ByShutdown => {
                    // Events may have been lost since.
                    events = watch(lock);
                    interval.reset();
                    self.try_lock(lock, mode)? == Attempt::Acquired
                }
            };
        }
        if let Some(events) = &mut events {
            events.retire();
        }
        Ok(events)
    }

    /// Pauses until something happens. Whatever that was, the lock is tried first: to find out what it
    /// was takes as long as all the rest, and can wait.
    async fn until_woken(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
        kernel_wait: &mut Option<Box<dyn KernelWait>>,
        events: &mut Option<Box<dyn FileEvents>>,
        mut alarm: Pin<&mut Timer>,
    ) -> io::Result<Woken> {
        let mut is_woken = false;
        poll_fn(|cx| {
            if is_woken && self.try_lock(lock, mode)? == Attempt::Acquired {
                return Poll::Ready(Ok(Woken::Acquired));
            }
            is_woken = true;
            let acquired = kernel_wait.as_mut().map(|wait| wait.poll_acquired(cx));
            if let Some(Poll::Ready(acquired)) = acquired {
                *kernel_wait = None;
                if let Some(file) = acquired {
                    lock.take_over(file, mode)?;
                    self.fairness.acquired();
                    return Poll::Ready(Ok(Woken::Acquired));
                }
            }
            let event = events.as_mut().map(|events| events.poll_event(cx));
            if let Some(Poll::Ready(event)) = event {
                return Poll::Ready(Ok(match event {
                    Ok(()) => Woken::ByEvent,
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Woken::ByStorm,
                    Err(_) => Woken::ByShutdown,
                }));
            }
            alarm.as_mut().poll(cx).map(|()| Ok(Woken::ByAlarm))
        })
        .await
    }

    /// Tries for as long as an event is usually early.
    async fn try_a_few_times(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
    ) -> io::Result<bool> {
        for _ in 0..8 {
            if self.try_lock(lock, mode)? == Attempt::Acquired {
                return Ok(true);
            }
            yield_now().await;
        }
        Ok(false)
    }
}

/// What ended a pause of the head of the queue.
enum Woken {
    /// The lock is held.
    Acquired,
    ByAlarm,
    ByEvent,
    /// The runtime whose reactor was used is gone.
    ByShutdown,
    /// There were more events than could be read.
    ByStorm,
}

/// Notices that events come too often to be releases that this wait could use.
///
/// Whoever may read a lock file can open and close it as often as it likes, and each time is an event.
#[derive(Debug, Default)]
struct StormMeter {
    since: Option<Instant>,
    events: u32,
}

impl StormMeter {
    /// Counts an event, and returns whether there were too many in a short time.
    fn is_one_with_another_event(&mut self) -> bool {
        const PERIOD: Duration = Duration::from_millis(100);
        const MOST: u32 = 8;

        let now = Instant::now();
        if self.since.is_none_or(|since| now > since + PERIOD) {
            *self = Self {
                since: Some(now),
                events: 0,
            };
        }
        self.events += 1;
        self.events > MOST
    }
}

/// How often the head tries the lock: foreign programs may release it without an event.
pub(super) const POLL: Duration = Duration::from_millis(8);

/// How often it does so in the end, if the release will be an event or the kernel will tell.
const RAREST_POLL: Duration = Duration::from_millis(256);

/// For how long an event may be early: the kernel tells of the close a little before the lock is free,
/// milliseconds before if the dying holder is preempted.
const EARLY: Duration = Duration::from_millis(6);

/// How often the head tries the lock while an event may have been early.
const EARLY_POLL: Duration = Duration::from_millis(1);

/// How often the head looks at the path when nothing has told that something happened.
const CHECK_PATH: Duration = Duration::from_millis(100);

/// How long the head does without events after a storm of them.
const STORM_PAUSE: Duration = Duration::from_secs(1);

/// When the head begins to wait in the kernel's queue as well.
const KERNEL_WAIT_AFTER: Duration = Duration::from_millis(12);

/// How often it tries to begin that if it cannot.
const KERNEL_WAIT_RETRY: Duration = Duration::from_secs(1);

/// The events of the file, if the system tells of any.
fn watch(lock: &impl Contended) -> Option<Box<dyn FileEvents>> {
    let target = lock.target();
    // Everything that happens in a directory would wake those who wait for its lock.
    let is_file = target.file.metadata().is_ok_and(|it| it.is_file());
    is_file.then(|| system().watch(target.path, target.symlinks))?
}

fn wait_in_kernel(lock: &impl Contended, mode: LockMode) -> Option<Box<dyn KernelWait>> {
    system().wait_in_kernel(lock.blocking()?, mode, &mut || lock.open_again())
}

/// The next time at which all waits of this process with such an `interval` poll, so that the process
/// wakes up once for all of them.
fn next_common_poll(interval: Duration) -> tokio::time::Instant {
    static FIRST: OnceLock<tokio::time::Instant> = OnceLock::new();
    let now = tokio::time::Instant::now();
    let first = *FIRST.get_or_init(|| now);
    let since = now.saturating_duration_since(first).as_micros() as u64;
    let interval_us = interval.as_micros() as u64;
    now + Duration::from_micros(interval_us - since % interval_us)
}
