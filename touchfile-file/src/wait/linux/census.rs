//! Which locks are held by handles that announce their release, so that who waits need not look.
//!
//! A program that merely unlocks makes no event, and is noticed by looking every few milliseconds.
//! A handle of ours makes one if it has held the lock for as long as a wait takes to get here. It
//! bears a [`MARK`] that other processes can see, and once a wait has lasted for a while, a thread
//! looks through the processes of this user for it, once for all waits of this process. As long as
//! such a handle holds a lock, nobody else's release of it matters.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};

use super::super::Lock;
use crate::holders::{Entry, each_descriptor, processes};
use crate::{FileId, ForkGeneration};

/// Flags of an open file that show whoever looks at /proc/PID/fdinfo that its locks will be
/// announced.
///
/// `O_ASYNC` asks for signals from a terminal, a socket or a pipe. To open a file with it does
/// nothing (open(2), "BUGS"), so nobody else does. It cannot be taken off a regular file; so it
/// counts together with `O_NONBLOCK` only, which does as little there.
pub(crate) const MARK: OFlags = OFlags::ASYNC.union(OFlags::NONBLOCK);

/// Takes the [`MARK`] off a file whose locks cannot be announced.
pub(super) fn unmark(file: &fs::File) {
    if let Ok(flags) = rustix::fs::fcntl_getfl(file) {
        rustix::fs::fcntl_setfl(file, flags - OFlags::NONBLOCK).ok();
    }
}

fn is_marked(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| OFlags::from_bits_retain(flags).contains(MARK))
}

/// Somebody's wish to know whether the lock it waits for is held by whoever will announce its end.
#[derive(Debug)]
pub(crate) struct Inquiry(Lock);

/// How many there are.
static INQUIRIES: AtomicUsize = AtomicUsize::new(0);

impl Inquiry {
    pub(crate) fn new(wanted: Lock) -> Self {
        INQUIRIES.fetch_add(1, Ordering::Relaxed);
        Self(wanted)
    }

    /// Whether such a lock was held at some time after `since`; `None` while that is not known. Who
    /// asks has it found out, within milliseconds mostly, and at the expense of so much processor
    /// time: what was not found by then counts as none.
    pub(crate) fn answer(&self, since: Instant, expense: Duration) -> Option<bool> {
        // Whoever has it is about to know more. A forked child may find it locked for ever.
        let mut census = CENSUS.try_lock().ok()?;
        if census.process.is_none_or(|process| !process.is_current()) {
            *census = Census {
                process: Some(ForkGeneration::current()),
                ..Census::NONE
            };
        }
        if census.taken.is_some_and(|taken| taken >= since) {
            let mut held = census.held.iter();
            return Some(held.any(|held| held.is_in_the_way_of(&self.0)));
        }
        let now = Instant::now();
        if !census.is_under_way && census.not_before.is_none_or(|then| now >= then) {
            census.is_under_way = thread::Builder::new()
                .name("touchfile-census".into())
                .spawn(move || take(expense))
                .is_ok();
            census.not_before = Some(now + Census::PAUSE);
        }
        None
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        INQUIRIES.fetch_sub(1, Ordering::Relaxed);
    }
}

static CENSUS: Mutex<Census> = Mutex::new(Census::NONE);

#[derive(Debug)]
struct Census {
    /// A forked child has its parent's, and none of its threads.
    process: Option<ForkGeneration>,
    is_under_way: bool,
    /// When it was begun.
    taken: Option<Instant>,
    held: Vec<Lock>,
    /// When there may be another.
    not_before: Option<Instant>,
}

impl Census {
    const NONE: Self = Self {
        process: None,
        is_under_way: false,
        taken: None,
        held: Vec::new(),
        not_before: None,
    };

    /// At least, from the beginning of one to that of the next.
    const PAUSE: Duration = Duration::from_millis(100);

    /// There is no other for so many times as long as the processor was used.
    const RARE: u32 = 100;

    const LONGEST_PAUSE: Duration = Duration::from_secs(60);
}

/// Ends early if it has taken too much of the processor's time, or if nobody wants to know any more.
fn take(expense: Duration) {
    let taken = Instant::now();
    let begun = processor_time();
    let used = || processor_time().saturating_sub(begun);
    let goes_on = || used() < expense && INQUIRIES.load(Ordering::Relaxed) > 0;
    let held = marked_locks(goes_on).unwrap_or_default();
    let pause = (Census::RARE * used()).min(Census::LONGEST_PAUSE);
    let Ok(mut census) = CENSUS.lock() else {
        return;
    };
    census.taken = Some(taken);
    census.held = held;
    census.is_under_way = false;
    census.not_before = census.not_before.max(Some(Instant::now() + pause));
}

/// That of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// The locks of all marked descriptors of this user's processes; of everybody's, for root.
fn marked_locks(goes_on: impl Fn() -> bool) -> io::Result<Vec<Lock>> {
    let user = rustix::process::geteuid();
    let mut locks = Vec::new();
    for pid in likeliest_first(processes()?) {
        if !goes_on() {
            break;
        }
        let may_look = fs::metadata(format!("/proc/{pid}"))
            .is_ok_and(|process| user.is_root() || process.uid() == user.as_raw());
        if !may_look {
            continue;
        }
        let looked = each_descriptor(pid, |number, fdinfo| {
            let mut listed = Entry::parse_fdinfo(fdinfo).peekable();
            if !is_marked(fdinfo) || listed.peek().is_none() {
                return;
            }
            // Not by the numbers of the kernel's list, which stat(2) may not know.
            let Ok(file) = FileId::of_link(&format!("/proc/{pid}/fd/{number}")) else {
                return;
            };
            locks.extend(listed.map(|entry| Lock {
                file,
                kind: entry.kind,
                range: entry.range,
                mode: entry.mode,
            }));
        });
        drop(looked); // or it has gone meanwhile
    }
    Ok(locks)
}

/// Whoever took a lock with flock(2), which the kernel lists, before all others; and this process last.
fn likeliest_first(mut processes: Vec<u32>) -> Vec<u32> {
    let listed = fs::read_to_string("/proc/locks").unwrap_or_default();
    let takers: BTreeSet<u32> = listed
        .lines()
        .filter_map(|line| Entry::parse(line)?.taker())
        .collect();
    let this = std::process::id();
    processes.sort_by_key(|pid| (*pid == this, !takers.contains(pid)));
    processes
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::fs::Mode;

    use super::*;

    #[test]
    fn a_mark_is_seen_by_whoever_looks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let marks: Vec<_> = [OFlags::empty(), MARK]
            .into_iter()
            .map(|mark| {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | mark;
                let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).unwrap();
                let mut marked = None;
                each_descriptor(std::process::id(), |number, fdinfo| {
                    if number == file.as_raw_fd().to_string() {
                        marked = Some(is_marked(fdinfo));
                    }
                })
                .unwrap();
                marked.unwrap()
            })
            .collect();
        assert_eq!(marks, [false, true]);
    }

    #[test]
    fn nonsense_is_no_mark() {
        assert!(is_marked("pos:\t0\nflags:\t02524002\n"));
        assert!(!is_marked("pos:\t0\nflags:\t02520002\n"), "unmarked");
        for text in [
            "",
            "flags:",
            "flags:\t0100002\n",
            "flags:\t9\n",
            "mnt_id:\t020000\n",
        ] {
            assert!(!is_marked(text), "{text}");
        }
    }
}
