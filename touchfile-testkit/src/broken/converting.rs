//! Backends whose conversions are wrong.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::FlockOperation;
use touchfile_core::{
    Attempt, BoxBackend, Capabilities, ConvertLock, LockHandle, LockMode, OpenOptions,
};
use touchfile_file::FileHandle;

use super::Broken;
use super::base::{Fault, Flock, Honest, block_on_flock, honest_claims, with_fault};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "converts-with-flock",
        what: "It converts locks with flock(2), where a failed upgrade loses the shared lock.",
        law: Law::Exclusion,
        in_lockstep: false,
        make: converts_with_flock,
    },
    Broken {
        name: "downgrade-lets-go",
        what: "It makes a lock shared by unlocking and taking the shared one.",
        law: Law::Exclusion,
        in_lockstep: false,
        make: downgrade_lets_go,
    },
    Broken {
        name: "upgrade-waits",
        what: "Its upgrade waits for the other readers to go.",
        law: Law::Liveness,
        in_lockstep: false,
        make: upgrade_waits,
    },
    Broken {
        name: "child-converts",
        what: "A forked child that converts its copy of a lock converts its parent's.",
        law: Law::ForkAndExec,
        in_lockstep: false,
        make: child_converts,
    },
    Broken {
        name: "claims-conversion",
        what: "It claims that its locks can change their mode, and refuses it.",
        law: Law::Capabilities,
        in_lockstep: false,
        make: claims_conversion,
    },
];

/// It converts locks with flock(2).
#[must_use]
pub fn converts_with_flock(_: &Path) -> BoxBackend {
    with_fault("converts-with-flock", Converts(How::Flock))
}

/// It makes a lock shared by unlocking and taking the shared one.
#[must_use]
pub fn downgrade_lets_go(_: &Path) -> BoxBackend {
    with_fault("downgrade-lets-go", Converts(How::LetsGo))
}

/// Its upgrade waits for the other readers to go.
#[must_use]
pub fn upgrade_waits(_: &Path) -> BoxBackend {
    with_fault("upgrade-waits", Converts(How::Waits))
}

/// A forked child that converts its copy of a lock converts its parent's.
#[must_use]
pub fn child_converts(_: &Path) -> BoxBackend {
    with_fault("child-converts", Converts(How::InChildren))
}

/// It claims that its locks can change their mode, and refuses it.
#[must_use]
pub fn claims_conversion(_: &Path) -> BoxBackend {
    with_fault("claims-conversion", Converts(How::Refuses))
}

#[derive(Clone, Copy, Debug)]
enum How {
    Flock,
    InChildren,
    LetsGo,
    Refuses,
    Waits,
}

#[derive(Debug)]
struct Converts(How);

impl Fault for Converts {
    type Handle = Converting;

    fn capabilities(&self) -> Capabilities {
        let mut claims = honest_claims();
        claims.atomic_conversion = true;
        claims
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Converting> {
        Ok(Converting {
            honest: FileHandle::open(Flock, path, options)?,
            pid: std::process::id(),
            held: None,
            how: self.0,
        })
    }
}

#[derive(Debug)]
struct Converting {
    honest: Honest,
    pid: u32,
    held: Option<LockMode>,
    how: How,
}

impl Converting {
    fn file(&self) -> &File {
        self.honest.file()
    }

    /// Refuses what these handles must refuse in spite of their fault.
    fn refuse(&self) -> io::Result<()> {
        let in_child = self.pid != std::process::id();
        match self.how {
            How::Refuses => Err(io::ErrorKind::Unsupported.into()),
            _ if self.held.is_none() => Err(io::ErrorKind::InvalidInput.into()),
            How::InChildren => Ok(()),
            _ if in_child => Err(io::ErrorKind::InvalidInput.into()),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl LockHandle for Converting {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        let attempt = self.honest.try_lock(mode).await?;
        if attempt == Attempt::Acquired {
            self.held = Some(mode);
        }
        Ok(attempt)
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        self.honest.lock(mode).await?;
        self.held = Some(mode);
        Ok(())
    }

    async fn unlock(&mut self) -> io::Result<()> {
        self.held = None;
        self.honest.unlock().await
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.honest.is_current(path).await
    }

    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        Some(self)
    }
}

#[async_trait]
impl ConvertLock for Converting {
    async fn downgrade(&mut self) -> io::Result<()> {
        self.refuse()?;
        if matches!(self.how, How::LetsGo) {
            rustix::fs::flock(self.file(), FlockOperation::Unlock)?;
            thread::sleep(Duration::from_millis(1)); // so that it shows
        }
        block_on_flock(self.file(), LockMode::Shared)?;
        self.held = Some(LockMode::Shared);
        Ok(())
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        self.refuse()?;
        if matches!(self.how, How::Waits) {
            block_on_flock(self.file(), LockMode::Exclusive)?;
        } else {
            let operation = FlockOperation::NonBlockingLockExclusive;
            match rustix::fs::flock(self.file(), operation) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    // The kernel has dropped the shared lock. Backends with another fault take it
                    // again.
                    if !matches!(self.how, How::Flock) {
                        block_on_flock(self.file(), LockMode::Shared)?;
                    }
                    return Ok(Attempt::WouldBlock);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        self.held = Some(LockMode::Exclusive);
        Ok(Attempt::Acquired)
    }
}
