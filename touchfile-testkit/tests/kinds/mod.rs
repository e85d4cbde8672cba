//! Honest backends that are slow, late or particular, each in one way.

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
    /// Each call begins with a pause of up to so many milliseconds.
    Delays(u64),
    /// Its release is known to it 20 ms after it took place.
    ConfirmsLate,
    /// Waiters of one process stand in one line, readers and writers, and only the first of them
    /// looks at the lock.
    OneLine,
    /// It waits by trying again.
    Polls,
    /// Each call blocks its thread for five milliseconds, as one that asks a server does.
    Remote,
    /// It looks only now and then whether the file that it waits for was replaced.
    SlowToSee,
    /// A wait refuses, fails or succeeds at its second poll.
    YieldsFirst,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Delays(3),
        Self::Delays(30),
        Self::ConfirmsLate,
        Self::OneLine,
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
            Self::OneLine => "one-line",
            Self::Polls => "polls",
            Self::Remote => "remote",
            Self::SlowToSee => "slow-to-see",
            Self::YieldsFirst => "yields-first",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Kind);

/// The lines of this process, by the path.
static LINES: LazyLock<Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>> =
    LazyLock::new(Mutex::default);

#[async_trait]
impl LockBackend for Backend {
    type Handle = Handle;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = FlockBackend::new().capabilities();
        // They poll, or stand in lines of their own.
        claims.fair = false;
        claims
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Handle> {
        self.0.pause().await;
        let line = LINES
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
            line,
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
    line: Arc<tokio::sync::Mutex<()>>,
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
            // A handle that holds is refused, and does not wait for its turn to be.
            Kind::OneLine if !self.holds => {
                let line = self.line.clone();
                let _turn = line.lock().await;
                return self.poll(mode).await;
            }
            Kind::Polls | Kind::Remote | Kind::SlowToSee | Kind::OneLine => {
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
        let mut looks = 0;
        while self.try_lock(mode).await? == Attempt::WouldBlock {
            looks += 1;
            let looks_now = self.kind == Kind::SlowToSee && looks % 12 == 0;
            if looks_now && !self.honest.is_current(&self.path).await? {
                return Err(io::ErrorKind::StaleNetworkFileHandle.into());
            }
            backoff.pause().await;
        }
        Ok(())
    }
}
