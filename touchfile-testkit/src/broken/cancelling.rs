//! Backends whose waits cannot be given up or leave something behind.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use touchfile_core::{Attempt, BoxBackend, LockHandle, LockMode};
use touchfile_file::RawFileLock;

use super::Broken;
use super::base::{Flock, Honest, Twist, block_on_flock, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "takes-it-later",
        what: "A wait that was given up goes on in a thread, which takes the lock later and keeps it \
               for a while.",
        law: Law::AcquiredMeansAcquired,
        // The thread races with the next attempt.
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

/// A wait that was given up goes on in a thread, which takes the lock later.
#[must_use]
pub fn takes_it_later(_: &Path) -> BoxBackend {
    with_twist::<TakesItLater>("takes-it-later")
}

/// How long the thread of a wait that was given up keeps the lock.
const KEPT: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct TakesItLater {
    /// The open file that holds the lock after a wait.
    waited: Option<File>,
}

impl TakesItLater {
    fn check_free(&self) -> io::Result<()> {
        match self.waited {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

#[async_trait]
impl Twist for TakesItLater {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        self.check_free()?;
        honest.try_lock(mode).await
    }

    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        self.check_free()?;
        if honest.try_lock(mode).await? == Attempt::Acquired {
            return Ok(());
        }
        let own = File::open(format!("/proc/self/fd/{}", honest.file().as_raw_fd()))?;
        let (done, waiting) = oneshot::channel();
        thread::spawn(move || {
            let waited = block_on_flock(&own, mode).map(|()| own);
            if let Err(unwanted) = done.send(waited) {
                thread::sleep(KEPT);
                drop(unwanted);
            }
        });
        self.waited = Some(waiting.await.map_err(io::Error::other)??);
        Ok(())
    }

    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        match self.waited.take() {
            Some(waited) => Flock.unlock(&waited),
            None => honest.unlock().await,
        }
    }

    fn drop(&mut self, honest: Honest) {
        if let Some(waited) = self.waited.take() {
            Flock.unlock(&waited).ok();
        }
        drop(honest);
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

/// A function that is called when a future is dropped before it has ended.
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
