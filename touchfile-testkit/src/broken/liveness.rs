//! Backends whose waiters do not notice that the lock is free.

use std::future;
use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use touchfile_core::{Attempt, BoxBackend, LockHandle, LockMode};

use super::Broken;
use super::base::{Honest, Twist, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "lost-wake-up",
        what: "A waiter that does not get the lock at once waits for ever.",
        law: Law::Liveness,
        in_lockstep: true,
        make: lost_wake_up,
    },
    Broken {
        name: "hears-only-itself",
        what: "A waiter notices only releases of its own process.",
        law: Law::Liveness,
        in_lockstep: true,
        make: hears_only_itself,
    },
    Broken {
        name: "polls-too-seldom",
        what: "A waiter tries the lock every ten seconds.",
        law: Law::Liveness,
        in_lockstep: true,
        make: polls_too_seldom,
    },
];

/// A waiter that does not get the lock at once waits for ever.
#[must_use]
pub fn lost_wake_up(_: &Path) -> BoxBackend {
    with_twist::<LostWakeUp>("lost-wake-up")
}

#[derive(Debug, Default)]
struct LostWakeUp;

#[async_trait]
impl Twist for LostWakeUp {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        match honest.try_lock(mode).await? {
            Attempt::Acquired => Ok(()),
            Attempt::WouldBlock => future::pending().await,
        }
    }
}

/// A waiter notices only releases of its own process.
#[must_use]
pub fn hears_only_itself(_: &Path) -> BoxBackend {
    with_twist::<HearsOnlyItself>("hears-only-itself")
}

/// The releases of this process.
static RELEASED: Notify = Notify::const_new();

#[derive(Debug, Default)]
struct HearsOnlyItself;

#[async_trait]
impl Twist for HearsOnlyItself {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        loop {
            // It is made before the attempt, so that no release in between is missed.
            let released = RELEASED.notified();
            if honest.try_lock(mode).await? == Attempt::Acquired {
                return Ok(());
            }
            released.await;
        }
    }

    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        let unlocked = honest.unlock().await;
        RELEASED.notify_waiters();
        unlocked
    }

    fn drop(&mut self, honest: Honest) {
        drop(honest);
        RELEASED.notify_waiters();
    }
}

/// A waiter tries the lock every ten seconds.
#[must_use]
pub fn polls_too_seldom(_: &Path) -> BoxBackend {
    with_twist::<PollsTooSeldom>("polls-too-seldom")
}

#[derive(Debug, Default)]
struct PollsTooSeldom;

#[async_trait]
impl Twist for PollsTooSeldom {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        while honest.try_lock(mode).await? == Attempt::WouldBlock {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        Ok(())
    }
}
