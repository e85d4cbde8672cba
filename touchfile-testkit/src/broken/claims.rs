//! Backends that do not do what they claim, or do what they do not claim.

use std::io;
use std::path::Path;

use async_trait::async_trait;
use touchfile_core::{Attempt, BoxBackend, Capabilities, LockHandle, LockMode, OpenOptions};
use touchfile_file::FileHandle;

use super::Broken;
use super::base::{Fault, Flock, Honest, Twist, Twisted, honest_claims, with_fault, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "claims-shared",
        what: "It claims shared locks, and refuses them.",
        law: Law::Capabilities,
        in_lockstep: true,
        make: claims_shared,
    },
    Broken {
        name: "hides-shared",
        what: "It does not claim shared locks, and does not refuse them.",
        law: Law::Capabilities,
        in_lockstep: false,
        make: hides_shared,
    },
    Broken {
        name: "refuses-and-takes",
        what: "It does not claim shared locks and refuses them, but takes the lock before it does.",
        law: Law::AcquiredMeansAcquired,
        in_lockstep: false,
        make: refuses_and_takes,
    },
    Broken {
        name: "claims-fcntl",
        what: "It claims to exclude programs that use fcntl(2) locks, and does not see them.",
        law: Law::Capabilities,
        in_lockstep: false,
        make: claims_fcntl,
    },
    Broken {
        name: "ignores-remove-on-release",
        what: "It claims to remove lock files on release, and leaves them.",
        law: Law::Capabilities,
        in_lockstep: false,
        make: ignores_remove_on_release,
    },
];

/// It claims shared locks, and refuses them.
#[must_use]
pub fn claims_shared(_: &Path) -> BoxBackend {
    with_twist::<RefusesShared>("claims-shared")
}

#[derive(Debug, Default)]
struct RefusesShared;

#[async_trait]
impl Twist for RefusesShared {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        exclusive_only(mode)?;
        honest.try_lock(mode).await
    }

    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        exclusive_only(mode)?;
        honest.lock(mode).await
    }
}

fn exclusive_only(mode: LockMode) -> io::Result<()> {
    match mode {
        LockMode::Exclusive => Ok(()),
        LockMode::Shared => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// It does not claim shared locks, and does not refuse them.
#[must_use]
pub fn hides_shared(_: &Path) -> BoxBackend {
    with_fault("hides-shared", Claiming(|claims| claims.shared = false))
}

/// It claims to exclude programs that use fcntl(2) locks, and does not see them.
#[must_use]
pub fn claims_fcntl(_: &Path) -> BoxBackend {
    with_fault(
        "claims-fcntl",
        Claiming(|claims| claims.excludes_fcntl = true),
    )
}

/// A correct backend with wrong claims.
#[derive(Debug)]
struct Claiming(fn(&mut Capabilities));

impl Fault for Claiming {
    type Handle = Honest;

    fn capabilities(&self) -> Capabilities {
        let mut claims = honest_claims();
        (self.0)(&mut claims);
        claims
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Honest> {
        FileHandle::open(Flock, path, options)
    }
}

/// It does not claim shared locks and refuses them, but takes the lock before it does.
#[must_use]
pub fn refuses_and_takes(_: &Path) -> BoxBackend {
    with_fault("refuses-and-takes", RefusesAndTakes)
}

#[derive(Debug)]
struct RefusesAndTakes;

impl Fault for RefusesAndTakes {
    type Handle = Twisted<TakesFirst>;

    fn capabilities(&self) -> Capabilities {
        Claiming(|claims| claims.shared = false).capabilities()
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        let honest = FileHandle::open(Flock, path, options)?;
        Ok(Twisted::new(honest, TakesFirst))
    }
}

#[derive(Debug, Default)]
struct TakesFirst;

#[async_trait]
impl Twist for TakesFirst {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        let attempt = honest.try_lock(mode).await?;
        exclusive_only(mode)?;
        Ok(attempt)
    }

    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        exclusive_only(mode)?;
        honest.lock(mode).await
    }
}

/// It claims to remove lock files on release, and leaves them.
#[must_use]
pub fn ignores_remove_on_release(_: &Path) -> BoxBackend {
    with_fault("ignores-remove-on-release", LeavesFiles)
}

#[derive(Debug)]
struct LeavesFiles;

impl Fault for LeavesFiles {
    type Handle = Honest;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Honest> {
        let mut kept = options.clone();
        kept.remove_on_release = false;
        FileHandle::open(Flock, path, &kept)
    }
}
