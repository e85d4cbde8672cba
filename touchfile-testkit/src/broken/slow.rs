//! Backends that take longer than the traits promise, though nothing waits for ever.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use touchfile_core::{Attempt, BoxBackend, LockHandle, LockMode};

use super::Broken;
use super::base::{Honest, Twist, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "tries-for-a-while",
        what: "An attempt that finds the lock held comes back after 150 ms.",
        law: Law::Liveness,
        in_lockstep: false,
        make: tries_for_a_while,
    },
    Broken {
        name: "gives-up-slowly",
        what: "Giving up a wait takes 150 ms.",
        law: Law::CancelSafety,
        in_lockstep: false,
        make: gives_up_slowly,
    },
    Broken {
        name: "unlocks-slowly",
        what: "Unlocking comes back 150 ms after the lock is free.",
        law: Law::Release,
        in_lockstep: false,
        make: unlocks_slowly,
    },
    Broken {
        name: "looks-each-second",
        what: "A waiter tries the lock each second.",
        law: Law::Liveness,
        in_lockstep: false,
        make: looks_each_second,
    },
];

/// What is prompt takes much less, and the random walks call only calls slow that take longer.
const SLOW: Duration = Duration::from_millis(150);

/// An attempt that finds the lock held comes back after 150 ms.
#[must_use]
pub fn tries_for_a_while(_: &Path) -> BoxBackend {
    with_twist::<TriesForAWhile>("tries-for-a-while")
}

#[derive(Debug, Default)]
struct TriesForAWhile;

#[async_trait]
impl Twist for TriesForAWhile {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        let attempt = honest.try_lock(mode).await?;
        if attempt == Attempt::WouldBlock {
            tokio::time::sleep(SLOW).await;
        }
        Ok(attempt)
    }
}

/// Giving up a wait takes 150 ms.
#[must_use]
pub fn gives_up_slowly(_: &Path) -> BoxBackend {
    with_twist::<GivesUpSlowly>("gives-up-slowly")
}

#[derive(Debug, Default)]
struct GivesUpSlowly;

/// Takes its time to be dropped, unless the wait has ended.
struct Slowly {
    waits: bool,
}

impl Drop for Slowly {
    fn drop(&mut self) {
        if self.waits {
            thread::sleep(SLOW);
        }
    }
}

#[async_trait]
impl Twist for GivesUpSlowly {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        let mut slowly = Slowly { waits: true };
        let locked = honest.lock(mode).await;
        slowly.waits = false;
        locked
    }
}

/// Unlocking comes back 150 ms after the lock is free.
#[must_use]
pub fn unlocks_slowly(_: &Path) -> BoxBackend {
    with_twist::<UnlocksSlowly>("unlocks-slowly")
}

#[derive(Debug, Default)]
struct UnlocksSlowly;

#[async_trait]
impl Twist for UnlocksSlowly {
    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        honest.unlock().await?;
        tokio::time::sleep(SLOW).await;
        Ok(())
    }
}

/// A waiter tries the lock each second.
#[must_use]
pub fn looks_each_second(_: &Path) -> BoxBackend {
    with_twist::<LooksEachSecond>("looks-each-second")
}

#[derive(Debug, Default)]
struct LooksEachSecond;

#[async_trait]
impl Twist for LooksEachSecond {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        while honest.try_lock(mode).await? == Attempt::WouldBlock {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}
