//! The one place where a backend on real files waits for a holder to release.
//!
//! A wait has three parts. It spins for a moment: most locks are held for less time than it takes to
//! arrange anything. Then it stands in a queue behind the other waiters of this host. At the head of
//! the queue it tries each time something happens to the lock file that may have been a release
//! ([`FileEvents`]), and every few milliseconds for holders that release without an event, at an
//! adaptive interval ([`PollInterval`]). Beside that it has a thread in the kernel's own queue
//! ([`KernelWait`]), for holders that lock again at once.
//!
//! All that a wait has (its place in the queue, its watch, its thread) goes with it, so a dropped future
//! has taken nothing and takes nothing later.
//!
//! What a holder does for those who wait is in [`Fairness`]. What the operating system has to offer is
//! a [`System`]. The lock itself is the caller's: a wait tries it and looks at its path through
//! [`Contended`], and knows no handle.

mod fairness;
mod hold_timer;
#[cfg(target_os = "linux")]
mod linux;
mod poll_interval;
mod system;

use std::fs::File;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use touchfile_core::runtime::{self, Timer};
use touchfile_core::{Attempt, LockMode};

use self::fairness::Fairness;
pub(crate) use self::poll_interval::Lock;
use self::poll_interval::PollInterval;
use self::system::{FileEvents, Follower, KernelWait, Place, QueueHead, System, Turn, Unaided};
use crate::open::OpenFlags;
use crate::{BlockingLock, FileId, Symlinks};

/// A lock that is waited for, as whoever has it open sees it.
pub(crate) trait Contended {
    /// Makes one attempt.
    fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt>;

    /// Releases a lock that was only taken to see whether it is free.
    fn unlock(&mut self) -> io::Result<()>;

    /// Fails with [`io::ErrorKind::StaleNetworkFileHandle`] if the path names another file by now.
    fn check_path(&self) -> io::Result<()>;

    /// The file that is locked.
    fn target(&self) -> Target<'_>;

    /// The name of the queue of those who wait for this lock; `None` if they are to stand in none.
    fn queue_key(&self) -> Option<String>;

    /// The lock as the kernel lists it while it is held in `mode`; `None` if that is not known.
    fn listing(&self, mode: LockMode) -> Option<Lock>;

    /// The calls for a thread that waits in the kernel, if there are any.
    fn blocking(&self) -> Option<Arc<dyn BlockingLock>>;

    /// Opens the file once more.
    fn open_again(&self) -> Option<File>;

    /// Takes over the lock that a wait in the kernel has acquired, with its open file.
    fn take_over(&mut self, file: File, mode: LockMode) -> io::Result<()>;
}

/// The file of a lock, and the path that it was opened as.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) file: &'a File,
    pub(crate) id: FileId,
    pub(crate) path: &'a Path,
    pub(crate) symlinks: Symlinks,
}

/// The side of a handle that meets others who want its lock.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    fairness: Fairness,
}

impl Waiter {
    /// Waits until `lock` is held.
    ///
    /// The caller holds no lock.
    pub(crate) async fn lock(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
    ) -> io::Result<()> {
        let mut place = match self.place_behind_others(lock) {
            Some(follower) => Place::Behind(follower),
            None => {
                if self.spin_briefly(lock, mode).await? {
                    return Ok(());
                }
                enter_queue(lock)
            }
        };
        runtime::yield_once().await;
        let mut broken = 0;
        loop {
            place = match place {
                Place::Behind(mut follower) => match self.follow(lock, mode, &mut *follower).await?
                {
                    Followed::ToHead(head) => {
                        self.fairness.became_head();
                        Place::Head(Some(head))
                    }
                    Followed::ToNothing => {
                        broken += 1;
                        if self.try_lock(lock, mode)? == Attempt::Acquired {
                            self.fairness.waited(mode, None, None);
                            return Ok(());
                        }
                        if broken < MAX_BROKEN_QUEUES {
                            enter_queue(lock)
                        } else {
                            Place::Head(None)
                        }
                    }
                    Followed::PastHead => {
                        self.fairness.passed_head();
                        return Ok(());
                    }
                },
                Place::Head(head) => {
                    let used_events = self.wait_at_head(lock, mode).await?;
                    self.fairness.waited(mode, head, used_events);
                    return Ok(());
                }
            }
        }
    }

    /// Makes one attempt.
    #[inline]
    pub(crate) fn try_lock(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
    ) -> io::Result<Attempt> {
        let attempt = lock.try_lock(mode)?;
        if attempt == Attempt::Acquired {
            self.fairness.acquired();
        }
        Ok(attempt)
    }

    /// Makes one attempt, unless others stand in the queue: then it takes a place behind them, which
    /// [`lock`](Self::lock) goes on from.
    #[inline]
    pub(crate) fn try_lock_fair(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
    ) -> io::Result<Attempt> {
        if self.fairness.is_time_to_look() && self.join_others(lock) {
            return Ok(Attempt::WouldBlock);
        }
        self.try_lock(lock, mode)
    }

    /// Wakes those who may be waiting for `lock`, which was just released.
    #[inline]
    pub(crate) fn released(&mut self, lock: &impl Contended) {
        if self.fairness.may_be_waited_for() {
            self.let_others_in(lock);
        }
    }

    /// Wakes those who may be waiting for `lock`, which others can share now.
    pub(crate) fn let_others_in(&mut self, lock: &impl Contended) {
        self.fairness.hand_over(|| notify_waiters(lock));
    }

    /// Forgets all others: this process is a new one.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes a place behind those who stand in the queue, if there are any.
    fn join_others(&mut self, lock: &impl Contended) -> bool {
        let key = lock.queue_key();
        let found = self
            .fairness
            .keep_place(key.and_then(|key| system().join_queue(&key)));
        if found {
            // The latest release of this handle may have been one without an event.
            notify_waiters(lock);
        }
        found
    }

    /// The place behind others that was taken, or is taken now.
    fn place_behind_others(&mut self, lock: &impl Contended) -> Option<Box<dyn Follower>> {
        if !self.fairness.has_place() && self.fairness.is_time_to_look() {
            self.join_others(lock);
        }
        self.fairness.take_place()
    }

    /// Tries for as long as it may take to increment something.
    async fn spin_briefly(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
    ) -> io::Result<bool> {
        let started = Instant::now();
        loop {
            if self.try_lock(lock, mode)? == Attempt::Acquired {
                return Ok(true);
            }
            if started.elapsed() > SPIN_TIME {
                lock.check_path()?;
                return Ok(false);
            }
            yield_now().await;
        }
    }

    /// Waits behind the head of the queue.
    ///
    /// The lock is free for a moment each time the head is handed over. So a follower that finds it
    /// free lets go of it again; and only if it finds it free for a second time, after so long that a
    /// head that runs would have taken it, does it pass the head.
    async fn follow(
        &mut self,
        lock: &mut impl Contended,
        mode: LockMode,
        follower: &mut dyn Follower,
    ) -> io::Result<Followed> {
        let mut alarm = pin!(runtime::timer(tokio::time::Instant::now()));
        let mut interval = FIRST_FOLLOWER_POLL;
        let mut was_free = false;
        loop {
            alarm
                .as_mut()
                .reset(tokio::time::Instant::now() + jittered(interval));
            let turn = before(alarm.as_mut(), poll_fn(|cx| follower.poll_turn(cx))).await;
            match turn {
                Some(Turn::Head(head)) => return Ok(Followed::ToHead(head)),
                Some(Turn::Broken) => return Ok(Followed::ToNothing),
                None => {}
            }
            match self.try_lock(lock, mode)? {
                Attempt::Acquired if was_free => return Ok(Followed::PastHead),
                Attempt::Acquired => {
                    lock.unlock()?;
                    // Whoever tried meanwhile found it held.
                    notify_waiters(lock);
                    was_free = true;
                    interval = HEAD_GRACE;
                }
                Attempt::WouldBlock => {
                    was_free = false;
                    let longest = if follower.is_watched() {
                        RAREST_FOLLOWER_POLL
                    } else {
                        POLL
                    };
                    interval = (4 * interval).min(longest);
                }
            }
            lock.check_path()?;
        }
    }

    /// Waits for the lock at the head of the queue, and returns the events it has used, to be dropped
    /// when there is time.
    async fn wait_at_head(
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
                    // What has happened since is not known.
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

/// The end of a wait behind the head of the queue.
enum Followed {
    ToHead(Box<dyn QueueHead>),
    /// The queue is broken, and the lock is not held.
    ToNothing,
    /// The head does not run, and the lock is held.
    PastHead,
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
        const MOST: u32 = 32;

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

/// How long a wait spins before it arranges to be told. A holder announces its release if it has held
/// for longer than [`Fairness::BRIEF_HOLD`], which is less.
const SPIN_TIME: Duration = Duration::from_micros(150);

/// How often a queue may break before a wait does without.
const MAX_BROKEN_QUEUES: u32 = 8;

/// How often the head tries the lock: foreign programs may release it without an event.
const POLL: Duration = Duration::from_millis(8);

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

/// When a follower tries the lock for the first time; then four times as late each time.
const FIRST_FOLLOWER_POLL: Duration = Duration::from_millis(50);

/// How often a follower tries the lock in the end, in case the head does not run.
const RAREST_FOLLOWER_POLL: Duration = Duration::from_secs(2);

/// How long a head may leave the lock free before a follower passes it. On a busy machine a process
/// that runs can wait for a processor for a large part of this.
const HEAD_GRACE: Duration = Duration::from_secs(1);

/// The system that this process runs on, with what it offers.
fn system() -> &'static dyn System {
    #[cfg(target_os = "linux")]
    if !is_without("all") {
        return &linux::Linux;
    }
    &Unaided
}

/// Whether tests have waiting do without a part of what the system offers: a word in the environment
/// variable `TOUCHFILE_WAIT_WITHOUT`, or all of it.
#[cfg(target_os = "linux")]
fn is_without(part: &str) -> bool {
    static WITHOUT: OnceLock<Option<String>> = OnceLock::new();
    let without = WITHOUT.get_or_init(|| std::env::var("TOUCHFILE_WAIT_WITHOUT").ok());
    let mut parts = without.iter().flat_map(|without| without.split(','));
    parts.any(|word| word == part)
}

/// Flags to open a lock file with, by which other processes see that its release is announced.
pub(crate) fn open_flags() -> OpenFlags {
    system().open_flags()
}

fn notify_waiters(lock: &impl Contended) {
    system().notify_waiters(&lock.target());
}

fn enter_queue(lock: &impl Contended) -> Place {
    match lock.queue_key() {
        Some(key) => system().enter_queue(&key),
        None => Place::Head(None),
    }
}

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

/// The output of `future`, unless the alarm goes off first.
async fn before<T>(mut alarm: Pin<&mut Timer>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// `interval`, give or take a quarter, so that not all followers poll at once.
fn jittered(interval: Duration) -> Duration {
    let random = (RandomState::new().hash_one(0) % 512) as u32;
    interval * (768 + random) / 1024
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
