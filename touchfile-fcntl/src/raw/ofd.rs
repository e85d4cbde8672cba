//! Locks that belong to an open file.

use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use touchfile_core::LockMode;

use crate::range::Range;

#[inline]
pub(super) fn attempt(file: &File, range: Range, mode: LockMode) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock(range, Some(mode))))?;
    Ok(())
}

pub(super) fn wait(file: &File, range: Range, mode: LockMode) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLKW(&lock(range, Some(mode))))?;
    Ok(())
}

#[inline]
pub(super) fn unlock(file: &File, range: Range) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock(range, None)))?;
    Ok(())
}

/// A lock in this mode, or none.
// The types of the constants differ from one C library to the next; their values are small.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
fn lock(range: Range, mode: Option<LockMode>) -> libc::flock {
    let kind = match mode {
        Some(LockMode::Exclusive) => libc::F_WRLCK,
        Some(LockMode::Shared) => libc::F_RDLCK,
        None => libc::F_UNLCK,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: range.start,
        l_len: range.len,
        l_pid: 0, // must be, for a lock that is no process's
    }
}
