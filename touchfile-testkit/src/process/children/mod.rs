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
        count("/proc/self/fd"),
        count("/proc/self/task")
    )
}

fn count(directory: &str) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}
