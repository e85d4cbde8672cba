//! Backends that answer wrongly which file a path names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use touchfile_core::{Attempt, BoxBackend, LockHandle, LockMode, OpenOptions};
use touchfile_file::FileHandle;

use super::Broken;
use super::base::{Fault, Flock, Honest, Twist, Twisted, with_fault, with_twist};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "ignores-replacement",
        what: "A handle calls itself current though its path names another file, or none.",
        law: Law::Identity,
        in_lockstep: true,
        make: ignores_replacement,
    },
    Broken {
        name: "never-current",
        what: "A handle never calls itself current, though its path names its file.",
        law: Law::Identity,
        in_lockstep: true,
        make: never_current,
    },
    Broken {
        name: "removes-too-late",
        what: "A lock file that is to be removed on release is removed after the release, by whoever \
               lets go: from under the next holder.",
        law: Law::Identity,
        in_lockstep: false,
        make: removes_too_late,
    },
];

/// A handle calls itself current whatever its path names.
#[must_use]
pub fn ignores_replacement(_: &Path) -> BoxBackend {
    with_twist::<AlwaysCurrent>("ignores-replacement")
}

#[derive(Debug, Default)]
struct AlwaysCurrent;

#[async_trait]
impl Twist for AlwaysCurrent {
    async fn is_current(&self, _: &Honest, _: &Path) -> io::Result<bool> {
        Ok(true)
    }
}

/// A handle never calls itself current.
#[must_use]
pub fn never_current(_: &Path) -> BoxBackend {
    with_twist::<NeverCurrent>("never-current")
}

#[derive(Debug, Default)]
struct NeverCurrent;

#[async_trait]
impl Twist for NeverCurrent {
    async fn is_current(&self, _: &Honest, _: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

/// A lock file that is to be removed on release is removed after the release.
#[must_use]
pub fn removes_too_late(_: &Path) -> BoxBackend {
    with_fault("removes-too-late", RemovesTooLate)
}

#[derive(Debug)]
struct RemovesTooLate;

impl Fault for RemovesTooLate {
    type Handle = Twisted<TooLate>;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        let mut kept = options.clone();
        kept.remove_on_release = false;
        let twist = TooLate {
            remove: options.remove_on_release.then(|| path.to_owned()),
            held: false,
        };
        Ok(Twisted::new(FileHandle::open(Flock, path, &kept)?, twist))
    }
}

#[derive(Debug, Default)]
struct TooLate {
    remove: Option<PathBuf>,
    held: bool,
}

impl TooLate {
    fn remove(&mut self) {
        if let Some(path) = self.remove.as_ref().filter(|_| self.held) {
            // In this time a waiter can take the lock.
            thread::sleep(Duration::from_millis(15));
            fs::remove_file(path).ok();
        }
        self.held = false;
    }
}

#[async_trait]
impl Twist for TooLate {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        let attempt = honest.try_lock(mode).await?;
        self.held |= attempt == Attempt::Acquired;
        Ok(attempt)
    }

    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        honest.lock(mode).await?;
        self.held = true;
        Ok(())
    }

    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        honest.unlock().await?;
        self.remove();
        Ok(())
    }

    fn drop(&mut self, honest: Honest) {
        drop(honest);
        self.remove();
    }
}
