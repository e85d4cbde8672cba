//! The children of a worker, and its other belongings.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

use crate::system;

/// How many descriptors, threads and locks this process has.
pub(crate) fn belongings() -> String {
    let locks = fs::read_dir("/proc/self/fdinfo")
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter(|info| info.contains("lock:"))
        .count();
    format!(
        "{} descriptors, {} threads, {locks} locks",
        system::descriptors(),
        system::threads()
    )
}
