//! fs4, synchronous. Its async functions block the thread (fs4#17), so they are the same.

use std::fs::File;
use std::io;
use std::path::Path;

use fs4::FileExt;

use super::{Contender, Family, Lock, Mode, Participant, Waits, open_file};

pub(super) const CONTENDER: Contender = Contender {
    name: "fs4",
    open: Participant::thread::<Fs4>,
    family: Family::Flock,
    waits: Waits::Thread,
    shared: true,
    deadline: false,
    cycle_only: false,
};

struct Fs4(File);

pub(super) struct Guard<'a>(&'a File);

impl Lock for Fs4 {
    type Guard<'a> = Guard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        open_file(path).map(Self)
    }

    fn lock(&mut self, mode: Mode) -> io::Result<Guard<'_>> {
        match mode {
            Mode::Exclusive => FileExt::lock(&self.0)?,
            Mode::Shared => FileExt::lock_shared(&self.0)?,
        }
        Ok(Guard(&self.0))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        FileExt::unlock(self.0).expect("it is held");
    }
}
