//! fd-lock.

use std::fs::File;
use std::io;
use std::path::Path;

use fd_lock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Contender, Family, Lock, Mode, Participant, Waits, open_file};

pub(super) const CONTENDER: Contender = Contender {
    name: "fd-lock",
    open: Participant::thread::<FdLock>,
    family: Family::Flock,
    waits: Waits::Thread,
    shared: true,
    deadline: false,
    cycle_only: false,
};

struct FdLock(RwLock<File>);

#[expect(dead_code, reason = "they are there to be dropped")]
pub(super) enum Guard<'a> {
    Read(RwLockReadGuard<'a, File>),
    Write(RwLockWriteGuard<'a, File>),
}

impl Lock for FdLock {
    type Guard<'a> = Guard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(RwLock::new(open_file(path)?)))
    }

    fn lock(&mut self, mode: Mode) -> io::Result<Guard<'_>> {
        match mode {
            Mode::Exclusive => self.0.write().map(Guard::Write),
            Mode::Shared => self.0.read().map(Guard::Read),
        }
    }
}
