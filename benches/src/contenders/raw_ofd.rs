//! The other floor: an open-file-description lock of fcntl(2) on the whole file.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::{Contender, Family, Lock, Mode, Participant, Waits, open_file, raw::whole_file};

pub(super) const CONTENDER: Contender = Contender {
    name: "raw OFD fcntl(2)",
    open: Participant::thread::<RawOfd>,
    family: Family::Fcntl,
    waits: Waits::Thread,
    shared: true,
    deadline: false,
    cycle_only: false,
};

struct RawOfd(File);

pub(super) struct Guard<'a>(&'a File);

impl Lock for RawOfd {
    type Guard<'a> = Guard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        open_file(path).map(Self)
    }

    fn lock(&mut self, mode: Mode) -> io::Result<Guard<'_>> {
        raw(
            &self.0,
            match mode {
                Mode::Exclusive => libc::F_WRLCK,
                Mode::Shared => libc::F_RDLCK,
            },
        )?;
        Ok(Guard(&self.0))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        raw(self.0, libc::F_UNLCK).expect("it is held");
    }
}

#[inline(never)]
fn raw(file: &File, kind: libc::c_int) -> io::Result<()> {
    let lock = whole_file(kind);
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&lock)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
