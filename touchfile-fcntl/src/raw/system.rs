//! Systems on which we know no locks that belong to an open file.

use std::fs::File;
use std::io;

use touchfile_core::LockMode;

use crate::range::Range;

pub(super) fn attempt(_: &File, _: Range, _: LockMode) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn wait(_: &File, _: Range, _: LockMode) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn unlock(_: &File, _: Range) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "on this system touchfile knows no fcntl(2) locks that belong to an open file; use the \
         flock backend",
    )
}
