//! Backends whose waits cannot be given up, or leave something behind.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;

use async_trait::async_trait;
use tokio::sync::oneshot;
use touchfile_core::{Attempt, BoxBackend, LockHandle, LockMode};

use super::Broken;
use super::base::{Honest, Twist, block_on_flock, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "takes-it-later",
        what: "A wait that was given up goes on in a thread, which takes the lock later and keeps it.",
        law: Law::AcquiredMeansAcquired,
        // It does, but the thread is in a race with the next attempt.
        in_lockstep: false,
        make: takes_it_later,
    },
    Broken {
        name: "leaks-a-descriptor",
        what: "A wait that was given up leaves a descriptor open.",
        law: Law::CancelSafety,
        in_lockstep: false,
        make: leaks_a_descriptor,
    },
    Broken {
        name: "leaks-a-thread",
        what: "A wait that was given up leaves a thread behind.",
        law: Law::CancelSafety,
        in_lockstep: false,
        make: leaks_a_thread,
    },
    Broken {
        name: "blocks-its-thread",
        what: "A wait blocks its thread, so that no timeout can end it.",
        law: Law::CancelSafety,
        in_lockstep: false,
        make: blocks_its_thread,
    },
];

/// A wait that was given up goes on in a thread, which takes the lock later and keeps it.
#[must_use]
pub fn takes_it_later(_: &Path) -> BoxBackend {
    with_twist::<TakesItLater>("takes-it-later")
}

#[derive(Debug, Default)]
struct TakesItLater;

#[async_trait]
impl Twist for TakesItLater {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        if honest.try_lock(mode).await? == Attempt::Acquired {
            return Ok(());
        }
        // The lock belongs to the open file description, which both descriptors are on.
        let file = honest.file().try_clone()?;
        let (done, waiting) = oneshot::channel();
        thread::spawn(move || done.send(block_on_flock(&file, mode)));
        waiting.await.map_err(io::Error::other)??;
        // It is held already: this only tells the honest handle so.
        honest.try_lock(mode).await.map(|_: Attempt| ())
    }
}

/// A wait that was given up leaves a descriptor open.
#[must_use]
pub fn leaks_a_descriptor(_: &Path) -> BoxBackend {
    with_twist::<LeaksDescriptor>("leaks-a-descriptor")
}

#[derive(Debug, Default)]
struct LeaksDescriptor;

#[async_trait]
impl Twist for LeaksDescriptor {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        let mut leak = OnCancel(Some(|| {
            if let Ok(file) = File::open("/dev/null") {
                std::mem::forget(file);
            }
        }));
        let result = honest.lock(mode).await;
        leak.0 = None;
        result
    }
}

/// A wait that was given up leaves a thread behind.
#[must_use]
pub fn leaks_a_thread(_: &Path) -> BoxBackend {
    with_twist::<LeaksThread>("leaks-a-thread")
}

#[derive(Debug, Default)]
struct LeaksThread;

#[async_trait]
impl Twist for LeaksThread {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        let mut leak = OnCancel(Some(|| {
            thread::spawn(|| {
                loop {
                    thread::park();
                }
            });
        }));
        let result = honest.lock(mode).await;
        leak.0 = None;
        result
    }
}

/// What happens when a future is dropped before it took this away.
struct OnCancel(Option<fn()>);

impl Drop for OnCancel {
    fn drop(&mut self) {
        if let Some(leak) = self.0 {
            leak();
        }
    }
}

/// A wait blocks its thread, so that no timeout can end it.
#[must_use]
pub fn blocks_its_thread(_: &Path) -> BoxBackend {
    with_twist::<BlocksThread>("blocks-its-thread")
}

#[derive(Debug, Default)]
struct BlocksThread;

#[async_trait]
impl Twist for BlocksThread {
    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        while honest.try_lock(mode).await? == Attempt::WouldBlock {
            block_on_flock(honest.file(), mode)?;
        }
        Ok(())
    }
}
