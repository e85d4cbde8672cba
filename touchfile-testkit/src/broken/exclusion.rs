//! Backends that grant locks beside conflicting holders.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use touchfile_core::{Attempt, BoxBackend, LockHandle, LockMode, OpenOptions};
use touchfile_file::{FileHandle, FileId, RawFileLock};

use super::Broken;
use super::base::{Fault, Flock, Honest, InCalls, Twist, with_fault, with_twist};
use super::random::one_in;
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "no-op",
        what: "Every attempt succeeds, and nothing is locked.",
        law: Law::Exclusion,
        in_lockstep: true,
        make: no_op,
    },
    Broken {
        name: "exclusive-is-shared",
        what: "An exclusive lock is taken as a shared one.",
        law: Law::Exclusion,
        in_lockstep: true,
        make: exclusive_is_shared,
    },
    Broken {
        name: "in-process-only",
        what: "The locks are in the memory of one process: others do not see them.",
        law: Law::Exclusion,
        in_lockstep: true,
        make: in_process_only,
    },
    Broken {
        name: "whole-process",
        what: "The locks are fcntl(2)'s classic ones, which belong to the whole process: its handles \
               do not exclude each other, and closing any of them releases them all.",
        law: Law::Exclusion,
        in_lockstep: true,
        make: whole_process,
    },
    Broken {
        name: "one-lock-for-all-handles",
        what: "The handles of one process share one open file, and so one lock.",
        law: Law::Exclusion,
        in_lockstep: true,
        make: one_lock_for_all_handles,
    },
    Broken {
        name: "unlocks-others",
        what: "Unlocking one handle unlocks the others of its process on the same path.",
        law: Law::Exclusion,
        in_lockstep: true,
        make: unlocks_others,
    },
    Broken {
        name: "upgrade-drops-shared",
        what: "A handle that holds the shared lock can be asked for the exclusive one, and has lost \
               the shared one when that is refused.",
        law: Law::Exclusion,
        in_lockstep: true,
        make: upgrade_drops_shared,
    },
    Broken {
        name: "double-grant",
        what: "One of 500 attempts that should find the lock held is told that it has it.",
        law: Law::Exclusion,
        in_lockstep: false,
        make: double_grant,
    },
];

/// Every attempt succeeds, and nothing is locked.
#[must_use]
pub fn no_op(_: &Path) -> BoxBackend {
    with_fault("no-op", InCalls(NoOp))
}

#[derive(Clone, Debug)]
struct NoOp;

impl RawFileLock for NoOp {
    fn try_lock(&self, _: &File, _: LockMode) -> io::Result<Attempt> {
        Ok(Attempt::Acquired)
    }

    fn unlock(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// An exclusive lock is taken as a shared one.
#[must_use]
pub fn exclusive_is_shared(_: &Path) -> BoxBackend {
    with_fault("exclusive-is-shared", InCalls(ExclusiveIsShared))
}

#[derive(Clone, Debug)]
struct ExclusiveIsShared;

impl RawFileLock for ExclusiveIsShared {
    fn try_lock(&self, file: &File, _: LockMode) -> io::Result<Attempt> {
        Flock.try_lock(file, LockMode::Shared)
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Flock.unlock(file)
    }
}

/// The locks are in the memory of one process.
#[must_use]
pub fn in_process_only(_: &Path) -> BoxBackend {
    with_fault("in-process-only", InCalls(InProcess::default()))
}

/// The holders of each file: the descriptors of this process and their modes.
#[derive(Clone, Debug, Default)]
struct InProcess(Arc<Mutex<HashMap<FileId, HashMap<RawFd, LockMode>>>>);

impl RawFileLock for InProcess {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        let mut files = locked(&self.0);
        let holders = files.entry(FileId::from_file(file)?).or_default();
        if holders.values().any(|held| held.conflicts_with(mode)) {
            return Ok(Attempt::WouldBlock);
        }
        holders.insert(file.as_raw_fd(), mode);
        Ok(Attempt::Acquired)
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        if let Some(holders) = locked(&self.0).get_mut(&FileId::from_file(file)?) {
            holders.remove(&file.as_raw_fd());
        }
        Ok(())
    }
}

/// The locks are fcntl(2)'s classic ones, of the whole process.
#[must_use]
pub fn whole_process(_: &Path) -> BoxBackend {
    with_fault("whole-process", InCalls(WholeProcess))
}

#[derive(Clone, Debug)]
struct WholeProcess;

#[expect(
    clippy::disallowed_methods,
    reason = "what is wrong with these locks is the point"
)]
impl RawFileLock for WholeProcess {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        let operation = match mode {
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
        };
        match rustix::fs::fcntl_lock(file, operation) {
            Ok(()) => Ok(Attempt::Acquired),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(Attempt::WouldBlock),
            Err(errno) => Err(errno.into()),
        }
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::fcntl_lock(file, FlockOperation::Unlock)?)
    }
}

/// The handles of one process share one open file, and so one lock.
#[must_use]
pub fn one_lock_for_all_handles(_: &Path) -> BoxBackend {
    with_fault("one-lock-for-all-handles", OneLock::default())
}

/// The one open file of each path and identity.
#[derive(Debug, Default)]
struct OneLock(Mutex<HashMap<(PathBuf, FileId), Arc<File>>>);

impl Fault for OneLock {
    type Handle = FileHandle<OneFile>;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        let file = touchfile_file::open(path, options)?;
        let key = (path.to_owned(), FileId::from_file(&file)?);
        let file = locked(&self.0).entry(key).or_insert(Arc::new(file)).clone();
        FileHandle::open(OneFile(file), path, options)
    }
}

/// Locks this file, whatever it is asked to lock.
#[derive(Clone, Debug)]
struct OneFile(Arc<File>);

impl RawFileLock for OneFile {
    fn try_lock(&self, _: &File, mode: LockMode) -> io::Result<Attempt> {
        Flock.try_lock(&self.0, mode)
    }

    fn unlock(&self, _: &File) -> io::Result<()> {
        Flock.unlock(&self.0)
    }
}

/// Unlocking one handle unlocks the others of its process on the same path.
#[must_use]
pub fn unlocks_others(_: &Path) -> BoxBackend {
    with_fault("unlocks-others", InCalls(UnlocksOthers::default()))
}

/// The files that are locked, by a copy of their descriptor.
#[derive(Clone, Debug, Default)]
struct UnlocksOthers(Arc<Mutex<HashMap<FileId, Vec<File>>>>);

impl RawFileLock for UnlocksOthers {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        let attempt = Flock.try_lock(file, mode)?;
        if attempt == Attempt::Acquired {
            let id = FileId::from_file(file)?;
            let copy = file.try_clone()?;
            locked(&self.0).entry(id).or_default().push(copy);
        }
        Ok(attempt)
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        let copies = locked(&self.0).remove(&FileId::from_file(file)?);
        copies
            .iter()
            .flatten()
            .try_for_each(|copy| Flock.unlock(copy))
    }
}

/// A handle that holds a lock can be asked for another, and loses the first when that is refused.
#[must_use]
pub fn upgrade_drops_shared(_: &Path) -> BoxBackend {
    with_twist::<Upgrades>("upgrade-drops-shared")
}

#[derive(Debug, Default)]
struct Upgrades {
    held: Option<LockMode>,
}

#[async_trait]
impl Twist for Upgrades {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        if self.held == Some(LockMode::Shared) && mode == LockMode::Exclusive {
            // flock(2) converts a lock by giving it up and asking for the other one.
            honest.unlock().await?;
            self.held = None;
        }
        let attempt = honest.try_lock(mode).await?;
        if attempt == Attempt::Acquired {
            self.held = Some(mode);
        }
        Ok(attempt)
    }

    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        if self.held == Some(LockMode::Shared) && mode == LockMode::Exclusive {
            honest.unlock().await?;
            self.held = None;
        }
        honest.lock(mode).await?;
        self.held = Some(mode);
        Ok(())
    }

    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        self.held = None;
        honest.unlock().await
    }
}

/// One of 500 attempts that should find the lock held is told that it has it.
#[must_use]
pub fn double_grant(_: &Path) -> BoxBackend {
    with_fault("double-grant", InCalls(DoubleGrant))
}

#[derive(Clone, Debug)]
struct DoubleGrant;

impl RawFileLock for DoubleGrant {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        match Flock.try_lock(file, mode)? {
            Attempt::WouldBlock if one_in(500) => Ok(Attempt::Acquired),
            attempt => Ok(attempt),
        }
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Flock.unlock(file)
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
