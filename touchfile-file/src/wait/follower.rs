//! The wait behind the head of the queue.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use touchfile_core::runtime::{self, Timer};
use touchfile_core::{Attempt, LockMode};

use super::head::POLL;
use super::system::{Follower, QueueHead, Turn};
use super::{Contended, Waiter, notify_waiters, system};

impl Waiter {
    /// Waits behind the head of the queue.
    ///
    /// The lock is free for a moment each time the head is handed over. So a follower that finds it free
    /// leaves it alone; and only if it finds it free for a second time, after so long that a head that runs
    /// would have taken it, does it pass the head.
    ///
    /// Whether it is free, the kernel's list tells. Where it is too long or missing, the lock has to be taken
    /// and let go of again, and somebody else may find it busy in between.
    pub(super) async fn follow(
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
            if !was_free && is_listed_as_free(lock, mode) {
                was_free = true;
                interval = HEAD_GRACE;
                continue;
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
}

/// Whether the kernel lists no lock of the file.
fn is_listed_as_free(lock: &impl Contended, mode: LockMode) -> bool {
    // Where there is no listing, there may be holders that the kernel does not know of.
    lock.listing(mode).is_some() && system().lists_no_lock(lock.target().file)
}

/// The end of a wait behind the head of the queue.
pub(super) enum Followed {
    ToHead(Box<dyn QueueHead>),
    /// The queue is broken, and the lock is not held.
    ToNothing,
    /// The head does not run, and the lock is held.
    PastHead,
}

/// When a follower tries the lock for the first time; then four times as late each time.
const FIRST_FOLLOWER_POLL: Duration = Duration::from_millis(50);

/// How often a follower tries the lock in the end, in case the head does not run.
const RAREST_FOLLOWER_POLL: Duration = Duration::from_secs(2);

/// How long a head may leave the lock free before a follower passes it. On a busy machine a process
/// that runs can wait for a processor for a large part of this.
const HEAD_GRACE: Duration = Duration::from_secs(1);

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
