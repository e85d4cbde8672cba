//! Backends whose locks are lost or prolonged by children.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use rustix::io::FdFlags;
use touchfile_core::{Attempt, BoxBackend, Capabilities, LockHandle, LockMode, OpenOptions};
use touchfile_file::{FileHandle, RawFileLock};

use super::Broken;
use super::base::{Fault, Flock, Honest, Twist, honest_claims, with_fault, with_twist};
use super::exclusion::locked;
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "child-releases",
        what: "A forked child that drops its copy of a handle releases its parent's lock.",
        law: Law::ForkAndExec,
        in_lockstep: false,
        make: child_releases,
    },
    Broken {
        name: "child-prolongs",
        what: "A release only closes the file: a child between fork and exec, which has it open too, \
               keeps the lock.",
        law: Law::ForkAndExec,
        in_lockstep: false,
        make: child_prolongs,
    },
    Broken {
        name: "not-close-on-exec",
        what: "A program that is executed inherits the open lock file.",
        law: Law::ForkAndExec,
        in_lockstep: false,
        make: not_close_on_exec,
    },
];

/// A forked child that drops its copy of a handle releases its parent's lock.
#[must_use]
pub fn child_releases(_: &Path) -> BoxBackend {
    with_twist::<ChildReleases>("child-releases")
}

#[derive(Debug, Default)]
struct ChildReleases;

#[async_trait]
impl Twist for ChildReleases {
    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        Flock.unlock(honest.file())?;
        honest.unlock().await
    }

    fn drop(&mut self, honest: Honest) {
        // A correct handle would first check which process this is.
        Flock.unlock(honest.file()).ok();
    }
}

/// A release only closes the file, which a child between fork and exec has open too.
#[must_use]
pub fn child_prolongs(_: &Path) -> BoxBackend {
    with_fault("child-prolongs", ChildProlongs)
}

#[derive(Debug)]
struct ChildProlongs;

impl Fault for ChildProlongs {
    type Handle = FileHandle<ClosesOnly>;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = honest_claims();
        capabilities.remove_on_release = false;
        capabilities
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        if options.remove_on_release {
            return Err(io::ErrorKind::Unsupported.into());
        }
        FileHandle::open(ClosesOnly::default(), path, options)
    }
}

/// Locks an open file description of its own, for as long as that is open.
#[derive(Debug, Default)]
struct ClosesOnly(Mutex<Option<File>>);

impl RawFileLock for ClosesOnly {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        let own = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let attempt = Flock.try_lock(&own, mode)?;
        if attempt == Attempt::Acquired {
            *locked(&self.0) = Some(own);
        }
        Ok(attempt)
    }

    fn unlock(&self, _: &File) -> io::Result<()> {
        *locked(&self.0) = None;
        Ok(())
    }
}

/// A program that is executed inherits the open lock file.
#[must_use]
pub fn not_close_on_exec(_: &Path) -> BoxBackend {
    with_fault("not-close-on-exec", NotCloseOnExec)
}

#[derive(Debug)]
struct NotCloseOnExec;

impl Fault for NotCloseOnExec {
    type Handle = Honest;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Honest> {
        let honest = FileHandle::open(Flock, path, options)?;
        rustix::io::fcntl_setfd(honest.file(), FdFlags::empty())?;
        Ok(honest)
    }
}
