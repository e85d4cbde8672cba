//! The one place where a backend on real files waits for a holder to let go.
//!
//! A wait has three parts. For a moment it tries again and again: most locks are held for less
//! time than it takes to arrange anything. Then it stands in line ([`Line`]) behind the other
//! waiters of this host. At the head of the line it tries each time something happens to the lock
//! file that may have been a release ([`Releases`]), and every few milliseconds, for holders that
//! release without an event; more and more rarely once the holder is known to be one of ours, which
//! makes an event ([`Acquaintance`]).
//!
//! Beside that it has a thread in the kernel's own queue ([`KernelWait`]), for holders that lock again at
//! once.
//!
//! All that a wait has (its place in line, its watch, its thread) goes with it, so a dropped future has
//! taken nothing and takes nothing later.
//!
//! What a touchfile holder does for those who wait is in [`Courtesy`].

mod acquaintance;
mod courtesy;
mod stopwatch;
#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "unaided.rs"]
mod system;

use std::future::{self, Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;

use acquaintance::Acquaintance;
pub(super) use acquaintance::Lock;
pub(super) use courtesy::Courtesy;
pub(super) use system::{Follower, KernelWait, Line, MARK, Place, Releases, announce};
use system::{Leader, Turn};

use super::handle::{FileHandle, RawFileLock};
use touchfile_core::{Attempt, LockMode, runtime};

/// How long a wait tries again and again before it arranges to be told. A touchfile holder
/// announces its release if it has held for longer than [`Courtesy::BRIEF`], which is less.
const MOMENT: Duration = Duration::from_micros(150);

/// How often the first in line looks at the lock: foreign programs may release it without an event.
const LOOK: Duration = Duration::from_millis(8);

/// How often the first in line looks after an event that was early: the kernel tells of the close
/// a little before the lock is free, milliseconds before if the dying holder is preempted.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// For how long an event may be early.
const EARLY: Duration = Duration::from_millis(6);

/// When somebody in line looks at the lock for the first time; then four times as late each time.
const FIRST_LOOK_PAST: Duration = Duration::from_millis(50);

/// How often somebody in line looks at the lock in the end, in case whoever is ahead does not run.
const LOOK_PAST: Duration = Duration::from_secs(2);

/// How often the first in line looks at the lock in the end, if its release will be an event.
const LONGEST_LOOK: Duration = Duration::from_millis(256);

/// How often a line may break before a wait does without.
const MOST_BROKEN: u32 = 8;

/// When the first in line begins to wait in the kernel's queue as well ([`KernelWait`]).
const WAIT_IN_KERNEL_AFTER: Duration = Duration::from_millis(12);

/// How often it tries to begin that if it cannot.
const WAIT_IN_KERNEL_AGAIN: Duration = Duration::from_secs(1);

/// How often the first in line looks at the path without having been told that something happened.
const LOOK_AT_PATH: Duration = Duration::from_millis(100);

/// Waits until `handle` holds the lock.
pub(super) async fn until_acquired<R: RawFileLock>(
    handle: &mut FileHandle<R>,
    mode: LockMode,
) -> io::Result<()> {
    let mut place = match handle.place_behind_others() {
        Some(follower) => Place::Follows(follower),
        None => {
            if in_a_moment(handle, mode).await? {
                return Ok(());
            }
            handle.enter_line()
        }
    };
    runtime::yield_once().await;
    let mut broken = 0;
    loop {
        place = match place {
            Place::Follows(mut follower) => match follow(handle, mode, &mut follower).await? {
                Some(Turn::Leads(leader)) => {
                    handle.courtesy().got_its_turn();
                    Place::Leads(Some(leader))
                }
                Some(Turn::Broken) => {
                    broken += 1;
                    if handle.try_lock_now(mode)? == Attempt::Acquired {
                        handle.courtesy().waited(mode, None, None);
                        return Ok(());
                    }
                    if broken < MOST_BROKEN {
                        handle.enter_line()
                    } else {
                        Place::Leads(None)
                    }
                }
                None => {
                    handle.courtesy().passed_by();
                    return Ok(());
                }
            },
            Place::Leads(leader) => {
                let used = lead(handle, mode).await?;
                handle.courtesy().waited(mode, leader, used);
                return Ok(());
            }
        }
    }
}

/// Tries for a moment; the lock may be held for as long as it takes to increment something.
async fn in_a_moment<R: RawFileLock>(
    handle: &mut FileHandle<R>,
    mode: LockMode,
) -> io::Result<bool> {
    let started = Instant::now();
    loop {
        if handle.try_lock_now(mode)? == Attempt::Acquired {
            return Ok(true);
        }
        if started.elapsed() > MOMENT {
            handle.refuse_stale()?;
            return Ok(false);
        }
        yield_now().await;
    }
}

/// Waits for the lead; `None` if whoever is ahead does not run, and the lock is held.
///
/// It is free for a moment each time it is passed on. So a look that finds it free lets go again,
/// and only if the next look finds it free as well is nobody about to take it.
async fn follow<R: RawFileLock>(
    handle: &mut FileHandle<R>,
    mode: LockMode,
    follower: &mut Follower,
) -> io::Result<Option<Turn>> {
    let mut alarm = pin!(runtime::timer(tokio::time::Instant::now()));
    let mut pause = FIRST_LOOK_PAST;
    let mut was_free = false;
    loop {
        alarm
            .as_mut()
            .reset(tokio::time::Instant::now() + courtesy::jittered(pause));
        let turn = before(alarm.as_mut(), poll_fn(|cx| follower.poll_turn(cx))).await;
        if turn.is_some() {
            return Ok(turn);
        }
        match handle.try_lock_now(mode)? {
            Attempt::Acquired if was_free => return Ok(None),
            Attempt::Acquired => {
                handle.let_go_again()?;
                was_free = true;
                pause = LOOK;
            }
            Attempt::WouldBlock => {
                was_free = false;
                let longest = if follower.is_watched() {
                    LOOK_PAST
                } else {
                    LOOK
                };
                pause = (4 * pause).min(longest);
            }
        }
        handle.refuse_stale()?;
    }
}

/// Waits for the lock at the head of the line, and returns what it has used, to be dropped when
/// there is time.
async fn lead<R: RawFileLock>(
    handle: &mut FileHandle<R>,
    mode: LockMode,
) -> io::Result<Option<Releases>> {
    // The lead has often come with a release.
    if spin(handle, mode).await? {
        return Ok(None);
    }
    let mut releases = handle.releases();
    let mut alarm = pin!(runtime::timer(tokio::time::Instant::now()));
    let mut early_until = None;
    let mut looked_at_path = None;
    let mut kernel_wait = None;
    let mut kernel_wait_at = Instant::now() + WAIT_IN_KERNEL_AFTER;
    let mut holder = Acquaintance::new(handle.listed(mode));
    // What has happened before this was listening.
    let mut acquired = handle.try_lock_now(mode)? == Attempt::Acquired;
    while !acquired {
        let now = Instant::now();
        if looked_at_path.is_none_or(|then| now > then + LOOK_AT_PATH) {
            handle.refuse_stale()?;
            looked_at_path = Some(now);
        }
        let is_early = early_until.is_some_and(|until| now < until);
        if kernel_wait.is_none() && now > kernel_wait_at {
            kernel_wait = handle.wait_in_kernel(mode);
            kernel_wait_at = now + WAIT_IN_KERNEL_AGAIN;
        }
        let pause = match (&releases, &kernel_wait) {
            _ if is_early => LOOK_AGAIN,
            (Some(_), Some(_)) => LONGEST_LOOK,
            (Some(_), None) => holder.pause(LOOK, LONGEST_LOOK),
            (None, Some(_)) => LOOK_AT_PATH,
            (None, None) => LOOK,
        };
        alarm.as_mut().reset(next_look(pause));
        let woken = until_woken(
            handle,
            mode,
            &mut kernel_wait,
            releases.as_mut(),
            alarm.as_mut(),
        );
        match woken.await? {
            Woken::Acquired => acquired = true,
            // It may have gone off before there was a pause.
            Woken::ByAlarm => acquired = handle.try_lock_now(mode)? == Attempt::Acquired,
            Woken::ByEvent => {
                early_until = Some(Instant::now() + EARLY);
                looked_at_path = None;
                holder.may_be_another();
                acquired = spin(handle, mode).await?;
            }
            Woken::ByShutdown => {
                // What has happened since is not known.
                releases = handle.releases();
                holder.may_be_another();
                acquired = handle.try_lock_now(mode)? == Attempt::Acquired;
            }
        }
    }
    if let Some(listening) = &mut releases {
        listening.retire();
    }
    Ok(releases)
}

/// What ended a pause of the first in line.
enum Woken {
    /// The lock was free when it woke up.
    Acquired,
    ByAlarm,
    ByEvent,
    /// The runtime whose reactor was used is gone.
    ByShutdown,
}

/// Pauses until something happens. Whatever that was, the lock is tried first, and to find out can
/// wait: it takes as long as all the rest.
async fn until_woken<R: RawFileLock>(
    handle: &mut FileHandle<R>,
    mode: LockMode,
    kernel_wait: &mut Option<KernelWait>,
    releases: Option<&mut Releases>,
    mut alarm: Pin<&mut runtime::Timer>,
) -> io::Result<Woken> {
    let mut next = pin!(async {
        match releases {
            Some(listening) => listening.next().await,
            None => future::pending().await,
        }
    });
    let mut woken = false;
    poll_fn(|cx| {
        if woken && handle.try_lock_now(mode)? == Attempt::Acquired {
            return Poll::Ready(Ok(Woken::Acquired));
        }
        woken = true;
        if let Some(wait) = kernel_wait
            && let Poll::Ready(acquired) = wait.poll_acquired(cx)
        {
            *kernel_wait = None;
            if let Some(file) = acquired {
                handle.take_over(file, mode)?;
                return Poll::Ready(Ok(Woken::Acquired));
            }
        }
        if let Poll::Ready(next) = next.as_mut().poll(cx) {
            return Poll::Ready(Ok(match next {
                Ok(()) => Woken::ByEvent,
                Err(_) => Woken::ByShutdown,
            }));
        }
        alarm.as_mut().poll(cx).map(|()| Ok(Woken::ByAlarm))
    })
    .await
}

/// Tries a few times, for as long as an event is usually early.
async fn spin<R: RawFileLock>(handle: &mut FileHandle<R>, mode: LockMode) -> io::Result<bool> {
    for _ in 0..8 {
        if handle.try_lock_now(mode)? == Attempt::Acquired {
            return Ok(true);
        }
        yield_now().await;
    }
    Ok(false)
}

/// The output of `future`, unless the alarm goes off first.
async fn before<T>(
    mut alarm: Pin<&mut runtime::Timer>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// The time of the next look. All waits of a process look at the same time, so that it wakes up once
/// for all of them.
fn next_look(every: Duration) -> tokio::time::Instant {
    static FIRST: OnceLock<tokio::time::Instant> = OnceLock::new();
    let now = tokio::time::Instant::now();
    let first = *FIRST.get_or_init(|| now);
    let since = now.saturating_duration_since(first).as_micros() as u64;
    let every_us = every.as_micros() as u64;
    now + Duration::from_micros(every_us - since % every_us)
}
