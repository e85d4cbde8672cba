//! Locks that belong to an open file.

use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, c_int};

use crate::range::Range;

#[inline]
pub(super) fn exclusive(file: &File, range: Range) -> io::Result<()> {
    set(file, range, libc::F_WRLCK)
}

#[inline]
pub(super) fn shared(file: &File, range: Range) -> io::Result<()> {
    set(file, range, libc::F_RDLCK)
}

#[inline]
pub(super) fn unlock(file: &File, range: Range) -> io::Result<()> {
    set(file, range, libc::F_UNLCK)
}

// The types of the constants differ from one C library to the next; their values are small.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
fn set(file: &File, range: Range, lock: impl Into<c_int>) -> io::Result<()> {
    let lock = libc::flock {
        l_type: lock.into() as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: range.start,
        l_len: range.len,
        l_pid: 0, // must be, for a lock that is no process's
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock))?;
    Ok(())
}
