//! The floor: flock(2) on an open file, and nothing else.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::{Contender, FLOOR, Family, Lock, Mode, Participant, Waits, open_file};

pub(super) const CONTENDER: Contender = Contender {
    name: FLOOR,
    open: Participant::thread::<RawFlock>,
    family: Family::Flock,
    waits: Waits::Thread,
    shared: true,
    deadline: false,
    cycle_only: false,
};

struct RawFlock(File);

pub(super) struct Guard<'a>(&'a File);

impl Lock for RawFlock {
    type Guard<'a> = Guard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        open_file(path).map(Self)
    }

    fn lock(&mut self, mode: Mode) -> io::Result<Guard<'_>> {
        raw(
            &self.0,
            match mode {
                Mode::Exclusive => FlockOperation::LockExclusive,
                Mode::Shared => FlockOperation::LockShared,
            },
        )?;
        Ok(Guard(&self.0))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        raw(self.0, FlockOperation::Unlock).expect("it is held");
    }
}

/// Not inlined, as the C library's function is not: whether the compiler inlines a system call
/// into a loop makes a quarter of the floor, and no program's lock calls are inlined.
#[inline(never)]
fn raw(file: &File, operation: FlockOperation) -> io::Result<()> {
    Ok(retry_on_intr(|| flock(file, operation))?)
}
