//! named-lock. It has no shared mode.

use std::io;
use std::path::Path;

use named_lock::{NamedLock, NamedLockGuard};

use super::{Contender, Family, Lock, Mode, Participant, Waits};

pub(super) const CONTENDER: Contender = Contender {
    name: "named-lock",
    open: Participant::thread::<Named>,
    family: Family::Flock,
    waits: Waits::Thread,
    shared: false,
    deadline: false,
    cycle_only: false,
};

struct Named(NamedLock);

impl Lock for Named {
    type Guard<'a> = NamedLockGuard;

    fn open(path: &Path) -> io::Result<Self> {
        NamedLock::with_path(path)
            .map(Self)
            .map_err(io::Error::other)
    }

    fn lock(&mut self, mode: Mode) -> io::Result<NamedLockGuard> {
        match mode {
            Mode::Exclusive => self.0.lock().map_err(io::Error::other),
            Mode::Shared => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
