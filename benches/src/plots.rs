//! Plots: how late waiters are, and how the lock is shared out.

use std::io;
use std::path::Path;

use crate::report::Report;

pub(crate) fn draw(_report: &Report, _directory: &Path) -> io::Result<()> {
    Ok(())
}
