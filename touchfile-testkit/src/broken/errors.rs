//! Backends that fail where nothing is wrong.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use touchfile_core::{Attempt, BoxBackend, LockHandle, LockMode};

use super::Broken;
use super::base::{Honest, Twist, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "contention-is-an-error",
        what: "An attempt that finds the lock held fails.",
        law: Law::Errors,
        in_lockstep: true,
        make: contention_is_an_error,
    },
    Broken {
        name: "gives-up",
        what: "A wait fails after 50 ms, though nobody asked it to give up.",
        law: Law::Errors,
        in_lockstep: true,
        make: gives_up,
    },
    Broken {
        name: "interrupted-is-an-error",
        what: "An attempt that a signal interrupts fails; a signal interrupts every second attempt \
               of a handle.",
        law: Law::Errors,
        in_lockstep: true,
        make: interrupted_is_an_error,
    },
];

/// An attempt that finds the lock held fails.
#[must_use]
pub fn contention_is_an_error(_: &Path) -> BoxBackend {
    with_twist::<ContentionIsAnError>("contention-is-an-error")
}

#[derive(Debug, Default)]
struct ContentionIsAnError;

#[async_trait]
impl Twist for ContentionIsAnError {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        match honest.try_lock(mode).await? {
            Attempt::Acquired => Ok(Attempt::Acquired),
            Attempt::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// A wait fails after 50 ms.
#[must_use]
pub fn gives_up(_: &Path) -> BoxBackend {
    with_twist::<GivesUp>("gives-up")
}

#[derive(Debug, Default)]
struct GivesUp;

#[async_trait]
impl Twist for GivesUp {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        let limit = Duration::from_millis(50);
        match tokio::time::timeout(limit, honest.lock(mode)).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// An attempt that a signal interrupts fails.
///
/// No signal is needed to show it: every second attempt of a handle behaves as if one had come.
#[must_use]
pub fn interrupted_is_an_error(_: &Path) -> BoxBackend {
    with_twist::<InterruptedIsAnError>("interrupted-is-an-error")
}

#[derive(Debug, Default)]
struct InterruptedIsAnError {
    attempts: u32,
}

#[async_trait]
impl Twist for InterruptedIsAnError {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        self.attempts += 1;
        if self.attempts % 2 == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        honest.try_lock(mode).await
    }
}
