//! Backends that say "busy" of a lock that is free.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use touchfile_core::{Attempt, BoxBackend, LockMode, OpenOptions};
use touchfile_file::{FileHandle, RawFileLock};

use super::Broken;
use super::base::{Fault, Flock, InCalls, with_fault};
use super::random::one_in;
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "shared-is-exclusive",
        what: "A shared lock is taken as an exclusive one.",
        law: Law::NoFalseBusy,
        in_lockstep: true,
        make: shared_is_exclusive,
    },
    Broken {
        name: "one-lock-for-all-files",
        what: "All lock files in a directory are one lock.",
        law: Law::NoFalseBusy,
        in_lockstep: true,
        make: one_lock_for_all_files,
    },
    Broken {
        name: "interrupted-is-busy",
        what: "An attempt that a signal interrupts says \"busy\"; a signal interrupts every second \
               attempt of a handle.",
        law: Law::NoFalseBusy,
        in_lockstep: true,
        make: interrupted_is_busy,
    },
    Broken {
        name: "spurious-busy",
        what: "One of 200 attempts says \"busy\", whatever is held.",
        law: Law::NoFalseBusy,
        in_lockstep: false,
        make: spurious_busy,
    },
];

/// A shared lock is taken as an exclusive one.
#[must_use]
pub fn shared_is_exclusive(_: &Path) -> BoxBackend {
    with_fault("shared-is-exclusive", InCalls(SharedIsExclusive))
}

#[derive(Clone, Debug)]
struct SharedIsExclusive;

impl RawFileLock for SharedIsExclusive {
    fn try_lock(&self, file: &File, _: LockMode) -> io::Result<Attempt> {
        Flock.try_lock(file, LockMode::Exclusive)
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Flock.unlock(file)
    }
}

/// All lock files in a directory are one lock.
#[must_use]
pub fn one_lock_for_all_files(_: &Path) -> BoxBackend {
    with_fault("one-lock-for-all-files", OneLock)
}

#[derive(Debug)]
struct OneLock;

impl Fault for OneLock {
    type Handle = FileHandle<LocksDirectory>;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        let parent = path.parent().unwrap_or(path);
        FileHandle::open(LocksDirectory(File::open(parent)?), path, options)
    }
}

/// Locks this directory, whatever it is asked to lock.
#[derive(Debug)]
struct LocksDirectory(File);

impl RawFileLock for LocksDirectory {
    fn try_lock(&self, _: &File, mode: LockMode) -> io::Result<Attempt> {
        Flock.try_lock(&self.0, mode)
    }

    fn unlock(&self, _: &File) -> io::Result<()> {
        Flock.unlock(&self.0)
    }
}

/// An attempt that a signal interrupts says "busy".
///
/// No signal is needed to show it: every second attempt of a handle behaves as if one had come.
#[must_use]
pub fn interrupted_is_busy(_: &Path) -> BoxBackend {
    with_fault("interrupted-is-busy", Interrupted)
}

#[derive(Debug)]
struct Interrupted;

impl Fault for Interrupted {
    type Handle = FileHandle<InterruptedIsBusy>;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        FileHandle::open(InterruptedIsBusy::default(), path, options)
    }
}

#[derive(Clone, Debug, Default)]
struct InterruptedIsBusy {
    attempts: Arc<AtomicU32>,
}

impl RawFileLock for InterruptedIsBusy {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        let earlier = self.attempts.fetch_add(1, Ordering::Relaxed);
        if earlier % 2 == 0 {
            Flock.try_lock(file, mode)
        } else {
            Ok(Attempt::WouldBlock)
        }
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Flock.unlock(file)
    }
}

/// One of 200 attempts says "busy", whatever is held.
#[must_use]
pub fn spurious_busy(_: &Path) -> BoxBackend {
    with_fault("spurious-busy", InCalls(SpuriousBusy))
}

#[derive(Clone, Debug)]
struct SpuriousBusy;

impl RawFileLock for SpuriousBusy {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        if one_in(200) {
            return Ok(Attempt::WouldBlock);
        }
        Flock.try_lock(file, mode)
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Flock.unlock(file)
    }
}
