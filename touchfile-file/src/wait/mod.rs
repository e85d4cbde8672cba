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
mod follower;
mod head;
mod hold_timer;
#[cfg(all(target_os = "linux", feature = "events"))]
mod linux;
mod poll_interval;
mod queue_place;
mod system;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use touchfile_core::runtime;
use touchfile_core::{Attempt, LockMode};

use self::fairness::Fairness;
use self::follower::Followed;
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
pub(crate) use self::linux::{is_marked, take_message};
pub use self::queue_place::QueuePlace;
pub(crate) use self::system::Lock;
use self::system::{Follower, Joined, Place, System, Unaided};
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
#[cfg_attr(not(all(target_os = "linux", feature = "events")), allow(dead_code))]
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
        if let Some(pause) = self.fairness.turn_of_others() {
            runtime::sleep(pause).await;
        }
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
        let _notice = lock
            .listing(mode)
            .and_then(|listed| system().announce(&listed, lock.target().file));
        let mut broken = 0;
        let mut crowded = 0;
        loop {
            place = match place {
                Place::Crowded => {
                    if self.try_lock(lock, mode)? == Attempt::Acquired {
                        self.fairness.waited(mode, None, None);
                        return Ok(());
                    }
                    crowded += 1;
                    if crowded < MAX_CROWDED {
                        runtime::sleep(CROWDED_PAUSE).await;
                        enter_queue(lock)
                    } else {
                        Place::Head(None)
                    }
                }
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
        if self.fairness.turn_of_others().is_some() {
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
        let joined = key.map_or(Joined::Nobody, |key| system().join_queue(&key));
        let found = self.fairness.keep_place(joined);
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
}

/// How long a wait spins before it arranges to be told. A holder announces its release if it has held
/// for longer than [`Fairness::BRIEF_HOLD`], which is less.
const SPIN_TIME: Duration = Duration::from_micros(150);

/// How often a queue may break before a wait does without.
const MAX_BROKEN_QUEUES: u32 = 8;

/// How often a wait tries to enter a queue that others are forming, before it does without.
const MAX_CROWDED: u32 = 200;

/// How long it lets them form it, each time.
const CROWDED_PAUSE: Duration = Duration::from_millis(1);

/// The system that this process runs on, with what it offers.
fn system() -> &'static dyn System {
    #[cfg(all(target_os = "linux", feature = "events"))]
    if !is_without("all") {
        return &linux::Linux;
    }
    &Unaided
}

/// Whether tests have waiting do without a part of what the system offers: a word in the environment
/// variable `TOUCHFILE_WAIT_WITHOUT`, or all of it.
#[cfg(all(target_os = "linux", feature = "events"))]
fn is_without(part: &str) -> bool {
    static WITHOUT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
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
