//! What the suite asks of an operating system, and Windows does differently than Unix.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// The number of descriptors that this process has open; 0 where the system does not tell.
pub(crate) fn descriptors() -> usize {
    count("/proc/self/fd")
}

/// The number of threads of this process; 0 where the system does not tell.
pub(crate) fn threads() -> usize {
    count("/proc/self/task")
}

/// The number of entries of a directory of proc(5).
///
/// It is 0 on every system but Linux. Wine shows programs the proc(5) of the Linux below, where
/// what belongs to Wine itself comes and goes.
fn count(directory: &str) -> usize {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        fs::read_dir(directory).map_or(0, Iterator::count)
    } else {
        0
    }
}
