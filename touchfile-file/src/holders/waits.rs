//! Waits of touchfile, as the processes that wait tell of them.
//!
//! Who waits without being blocked in the kernel leaves a [`WaitNotice`] among its descriptors. A process can
//! have whatever descriptors it likes, so a notice is believed only as far as the kernel confirms it: it is a
//! memory file, the process that has it is the one that it names, the user that made it is that of the process,
//! and the descriptor that it names is open, for more than a look, on the lock file that is asked about. So
//! nobody can tell of another process, or of a file that they cannot open. The time at which a wait began is that
//! of the memory file, which nobody can set back.
//!
//! Nothing here waits for a server or a program: no name is looked up, and stat(2) is for memory files alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{MemfdFlags, OFlags, memfd_create};

use super::facts::{Facts, Known};
use super::locks::{Entry, FileNumber};
use super::place;
use super::scan::{Scan, Told};
use crate::Mount;
use crate::wait_notice::WaitNotice;
use touchfile_core::{Holder, LockKind, ProcessId};

/// A wait that is believed.
#[derive(Debug)]
pub(super) struct Wait {
    pid: u32,
    notice: WaitNotice,
    pub(super) file: FileNumber,
    since: SystemTime,
    facts: Facts,
}

/// The waits that `scan` has found and that are believed, in the order in which they began. It ends early when
/// it does not `go_on`.
pub(super) fn believed(scan: &Scan, facts: &mut Known, goes_on: &dyn Fn() -> bool) -> Vec<Wait> {
    if scan.told.is_empty() {
        return Vec::new();
    }
    let Some(memory) = memory_mount() else {
        return Vec::new();
    };
    let mut mounts = Mounts::default();
    let told = scan.told.iter().take_while(|_| goes_on());
    let mut waits: Vec<Wait> = told
        .filter_map(|told| believe(told, memory, &mut mounts, facts))
        .collect();
    waits.sort_by_key(|wait| (wait.since, wait.pid));
    waits
}

fn believe(told: &Told, memory: u64, mounts: &mut Mounts, facts: &mut Known) -> Option<Wait> {
    let Told {
        pid,
        descriptor,
        notice,
    } = told;
    if own_pid(*pid)? != notice.pid {
        return None;
    }
    let (proc, asked) = (format!("/proc/{pid}"), notice.descriptor);
    let lock_file = Info::of(&format!("{proc}/fdinfo/{asked}"))?;
    let file = lock_file.file(*pid, mounts)?;
    let has_it = |lock: Entry| lock.file == file && lock.kind == notice.kind;
    if lock_file.is_for_a_look() || Entry::parse_fdinfo(&lock_file.0).any(has_it) {
        return None;
    }
    // Opened once, as the descriptor may be another one from one call to the next.
    let memory_file = place::open(Path::new(&format!("{proc}/fd/{descriptor}"))).ok()?;
    if mount_of(&memory_file)? != memory {
        return None;
    }
    let stat = memory_file.metadata().ok()?;
    let facts = facts.of(*pid)?;
    (facts.uid == Some(stat.uid())).then(|| Wait {
        pid: *pid,
        notice: notice.clone(),
        file,
        since: changed(&stat),
        facts,
    })
}

/// When the memory file was made: nothing happens to it later.
fn changed(stat: &fs::Metadata) -> SystemTime {
    let seconds = u64::try_from(stat.ctime()).unwrap_or(0);
    let nanoseconds = u32::try_from(stat.ctime_nsec()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

/// The number of a process in its own pid namespace.
fn own_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_ascii_whitespace().last()?.parse().ok()
}

/// The mount of memory files, of which there is one for all namespaces.
fn memory_mount() -> Option<u64> {
    let memory = memfd_create("touchfile-who", MemfdFlags::CLOEXEC).ok()?;
    mount_of(&memory.into())
}

fn mount_of(file: &File) -> Option<u64> {
    Info::of(&format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?.mount()
}

/// The text of an fdinfo.
#[derive(Debug)]
struct Info(String);

impl Info {
    fn of(path: &str) -> Option<Self> {
        fs::read_to_string(path).ok().map(Self)
    }

    fn mount(&self) -> Option<u64> {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:"))?;
        line.trim().parse().ok()
    }

    /// The numbers of the file that a process has open.
    fn file(&self, pid: u32, mounts: &mut Mounts) -> Option<FileNumber> {
        Some(FileNumber {
            device: mounts.device(self.mount()?, pid)?,
            inode: place::inode_in(&self.0)?,
        })
    }

    /// Whether it was opened with `O_PATH`, which needs no permission on the file.
    fn is_for_a_look(&self) -> bool {
        let flags = self.0.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        flags.is_none_or(|flags| OFlags::from_bits_retain(flags).contains(OFlags::PATH))
    }
}

/// The superblocks of mounts, by the numbers of the mounts. Those of one mount namespace are not those of another.
#[derive(Debug, Default)]
struct Mounts {
    known: BTreeMap<u64, (u32, u32)>,
    read_own: bool,
}

impl Mounts {
    /// The superblock of a mount that the process has a file open on.
    fn device(&mut self, mount: u64, pid: u32) -> Option<(u32, u32)> {
        if !self.read_own {
            self.read_own = true;
            self.read("/proc/self/mountinfo");
        }
        if !self.known.contains_key(&mount) {
            self.read(&format!("/proc/{pid}/mountinfo"));
        }
        self.known.get(&mount).copied()
    }

    fn read(&mut self, path: &str) {
        /// Any user can mount many file systems in a namespace of its own.
        const MOST: u64 = 1 << 20;

        let Ok(mountinfo) = File::open(path) else {
            return;
        };
        for line in BufReader::new(mountinfo.take(MOST)).split(b'\n') {
            let Ok(line) = line else { return };
            if let Some(mount) = Mount::parse(&String::from_utf8_lossy(&line)) {
                self.known.entry(mount.id()).or_insert(mount.device());
            }
        }
    }
}

/// The waits for one file as waiters. Those of them whom the kernel lists as waiting, too, are removed from
/// `joined`.
pub(super) fn waiters(waits: Vec<Wait>, joined: &mut Vec<(Entry, Holder)>) -> Vec<Holder> {
    let mut waiters = Vec::new();
    let mut threads: BTreeMap<u32, usize> = BTreeMap::new();
    for wait in waits {
        let is_listed = |entry: &Entry| {
            entry.waiting
                && (entry.kind, entry.mode) == (wait.notice.kind, wait.notice.mode)
                && entry.range == wait.notice.range
        };
        let listed = joined.iter().position(|(entry, _)| match entry.taker() {
            Some(taker) => is_listed(entry) && taker == wait.pid,
            // Of a wait for a lock of an open file description the kernel does not tell whose it is.
            None if is_listed(entry) && entry.kind == LockKind::Ofd => {
                let threads = threads.entry(wait.pid);
                let left = threads.or_insert_with(|| blocked_threads(wait.pid));
                *left > 0 && {
                    *left -= 1;
                    true
                }
            }
            None => false,
        });
        if let Some(listed) = listed {
            joined.remove(listed);
        }
        waiters.push(wait.into_waiter());
    }
    waiters
}

/// The threads by which a process of touchfile waits in the kernel.
fn blocked_threads(pid: u32) -> usize {
    /// A process can have many threads.
    const MOST: usize = 1_024;

    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten().take(MOST);
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names
        .filter(|name| name.trim_end() == WAITING_THREAD)
        .count()
}

/// The name of such a thread.
pub(crate) const WAITING_THREAD: &str = "touchfile-wait";

impl Wait {
    fn into_waiter(self) -> Holder {
        let mut waiter = Holder::new(self.notice.mode);
        waiter.process = ProcessId::Known(self.pid);
        waiter.uid = self.facts.uid;
        waiter.command = Some(self.facts.command);
        waiter.started = self.facts.started;
        waiter.kind = Some(self.notice.kind);
        waiter.range = self.notice.range;
        waiter.waiting = true;
        waiter.waiting_since = Some(self.since);
        waiter
    }
}
