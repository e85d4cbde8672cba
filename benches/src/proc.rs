//! What a process has, as /proc tells it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Resource, getrlimit, setrlimit};

/// What this process has that a wait may leave behind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Belongings {
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    pub(crate) watches: u64,
    pub(crate) locks: u64,
}

impl Belongings {
    pub(crate) fn now() -> io::Result<Self> {
        let mut all = Self {
            threads: threads()?,
            ..Self::default()
        };
        for entry in fs::read_dir("/proc/self/fdinfo")? {
            // The descriptor of this very listing is gone when it is read.
            let Ok(info) = fs::read_to_string(entry?.path()) else {
                continue;
            };
            all.descriptors += 1;
            all.watches += count(&info, "inotify wd:");
            all.locks += count(&info, "lock:");
        }
        Ok(all)
    }
}

/// How many wait in the kernel for a lock on this file, of whatever process.
pub(crate) fn blocked_on(file: &File) -> io::Result<u64> {
    // A waiter's line has an arrow, and the file as MAJOR:MINOR:INODE (proc(5), "/proc/locks").
    let inode = format!(":{} ", file.metadata()?.ino());
    let locks = fs::read_to_string("/proc/locks")?;
    let waits = |line: &&str| line.contains("-> ") && line.contains(&inode);
    Ok(locks.lines().filter(waits).count() as u64)
}

/// How many threads this process has.
pub(crate) fn threads() -> io::Result<u64> {
    Ok(fs::read_dir("/proc/self/task")?.count() as u64)
}

/// The memory this process has written to, in bytes; exact, unlike /proc/self/statm.
pub(crate) fn memory() -> io::Result<u64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other("/proc/self/smaps_rollup has no Anonymous"))
}

/// Lets this process have as many descriptors as it may, and returns how many that are.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

fn count(info: &str, prefix: &str) -> u64 {
    info.lines().filter(|line| line.starts_with(prefix)).count() as u64
}
