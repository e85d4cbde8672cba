//! Correct backends that are slow, late or unusual, each in one way.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use touchfile_core::backoff::Backoff;
use touchfile_core::{
    Attempt, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions, Platform,
};
use touchfile_flock::{FlockBackend, FlockHandle};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Each call begins with a pause of up to this many milliseconds.
    Delays(u64),
    /// An unlock returns 20 ms after the lock was released.
    ConfirmsLate,
    /// The waiters of one process, readers and writers, are in one queue, and only its head checks the
    /// lock.
    OneQueue,
    /// A wait tries again after each pause.
    Polls,
    /// Each call blocks its thread for five milliseconds, like a call that asks a server.
    Remote,
    /// A wait checks only at times whether its file was replaced.
    SlowToSee,
    /// A wait refuses, fails or succeeds at its second poll.
    YieldsFirst,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Delays(3),
        Self::Delays(30),
        Self::ConfirmsLate,
        Self::OneQueue,
        Self::Polls,
        Self::Remote,
        Self::SlowToSee,
        Self::YieldsFirst,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delays(3) => "delays-of-3-ms",
            Self::Delays(_) => "delays-of-30-ms",
            Self::ConfirmsLate => "confirms-late",
            Self::OneQueue => "one-queue",
            Self::Polls => "polls",
            Self::Remote => "remote",
            Self::SlowToSee => "slow-to-see",
            Self::YieldsFirst => "yields-first",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Kind);

/// The queues of this process, by the path.
static QUEUES: LazyLock<Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>> =
    LazyLock::new(Mutex::default);

#[async_trait]
impl LockBackend for Backend {
    type Handle = Handle;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = FlockBackend::new().capabilities();
        // They poll or have queues of their own.
        claims.fair = false;
        claims
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Handle> {
        self.0.pause().await;
        let queue = QUEUES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(path.to_owned())
            .or_default()
            .clone();
        Ok(Handle {
            kind: self.0,
            path: path.to_owned(),
            honest: FlockBackend::new().open(path, options).await?,
            holds: false,
            queue,
        })
    }

    fn platform(&self) -> &'static dyn Platform {
        FlockBackend::new().platform()
    }
}

impl Kind {
    async fn pause(self) {
        match self {
            Self::Delays(longest_ms) => {
                let us = RandomState::new().hash_one(0) % (longest_ms * 1_000);
                tokio::time::sleep(Duration::from_micros(us)).await;
            }
            Self::Remote => thread::sleep(Duration::from_millis(5)),
            _ => {}
        }
    }
}

#[derive(Debug)]
pub(crate) struct Handle {
    kind: Kind,
    path: PathBuf,
    honest: FlockHandle,
    holds: bool,
    queue: Arc<tokio::sync::Mutex<()>>,
}

#[async_trait]
impl LockHandle for Handle {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.kind.pause().await;
        let attempt = self.honest.try_lock(mode).await?;
        self.holds |= attempt == Attempt::Acquired;
        Ok(attempt)
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        self.kind.pause().await;
        match self.kind {
            Kind::YieldsFirst => tokio::task::yield_now().await,
            // A handle that holds a lock is refused at once.
            Kind::OneQueue if !self.holds => {
                let queue = self.queue.clone();
                let _head = queue.lock().await;
                return self.poll(mode).await;
            }
            Kind::Polls | Kind::Remote | Kind::SlowToSee | Kind::OneQueue => {
                return self.poll(mode).await;
            }
            _ => {}
        }
        self.honest.lock(mode).await?;
        self.holds = true;
        Ok(())
    }

    async fn unlock(&mut self) -> io::Result<()> {
        self.kind.pause().await;
        self.honest.unlock().await?;
        self.holds = false;
        if self.kind == Kind::ConfirmsLate {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.kind.pause().await;
        self.honest.is_current(path).await
    }

    async fn is_lost(&self) -> io::Result<bool> {
        self.kind.pause().await;
        self.honest.is_lost().await
    }
}

impl Handle {
    async fn poll(&mut self, mode: LockMode) -> io::Result<()> {
        let mut backoff = Backoff::new();
        let mut attempts = 0;
        while self.try_lock(mode).await? == Attempt::WouldBlock {
            attempts += 1;
            let checks = self.kind == Kind::SlowToSee && attempts % 12 == 0;
            if checks && !self.honest.is_current(&self.path).await? {
                return Err(io::ErrorKind::StaleNetworkFileHandle.into());
            }
            backoff.pause().await;
        }
        Ok(())
    }
}
