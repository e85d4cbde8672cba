//! The standard library, since Rust 1.89.
#![expect(clippy::disallowed_methods, reason = "it is what is measured")]

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Contender, Family, Lock, Mode, Participant, Waits, open_file};

pub(super) const CONTENDER: Contender = Contender {
    name: "std::fs::File",
    open: Participant::thread::<StdFile>,
    family: Family::Flock,
    waits: Waits::Thread,
    shared: true,
    deadline: false,
    cycle_only: false,
};

struct StdFile(File);

pub(super) struct Guard<'a>(&'a File);

impl Lock for StdFile {
    type Guard<'a> = Guard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        open_file(path).map(Self)
    }

    fn lock(&mut self, mode: Mode) -> io::Result<Guard<'_>> {
        match mode {
            Mode::Exclusive => self.0.lock()?,
            Mode::Shared => self.0.lock_shared()?,
        }
        Ok(Guard(&self.0))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.unlock().expect("it is held");
    }
}
