//! The holder probe: which locks are held by handles that announce their release.
//!
//! A program that merely unlocks makes no event, and is noticed by polling. A handle of touchfile makes
//! one if it has held the lock for as long as a wait takes to get here. Its file has a [`MARK`] that
//! other processes can see. Once a wait has lasted for a while, a thread looks for the mark in the
//! processes of this user, once for all waits of this process. As long as such a handle holds a lock,
//! no release by anybody else matters.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};

use crate::holders::{Entry, each_descriptor, processes};
use crate::wait::Lock;
use crate::wait::system::HolderProbe;
use crate::{FileId, ForkGeneration};

/// Flags of an open file that show in /proc/PID/fdinfo that the release of its locks will be announced.
///
/// `O_ASYNC` asks for signals from a terminal, a socket or a pipe. Opening a file with it does
/// nothing (open(2), "BUGS"), so no other program does that. It cannot be taken off a regular file; so
/// it counts together with `O_NONBLOCK` only, which does as little there.
pub(super) const MARK: OFlags = OFlags::ASYNC.union(OFlags::NONBLOCK);

/// Takes the [`MARK`] off a file whose locks cannot be announced.
pub(super) fn unmark(file: &fs::File) {
    if let Ok(flags) = rustix::fs::fcntl_getfl(file) {
        rustix::fs::fcntl_setfl(file, flags - OFlags::NONBLOCK).ok();
    }
}

pub(crate) fn is_marked(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| OFlags::from_bits_retain(flags).contains(MARK))
}

/// The question of one wait.
#[derive(Debug)]
pub(super) struct Probe {
    wanted: Lock,
}

/// How many there are.
static PROBES: AtomicUsize = AtomicUsize::new(0);

impl Probe {
    pub(super) fn new(wanted: Lock) -> Self {
        PROBES.fetch_add(1, Ordering::Relaxed);
        Self { wanted }
    }
}

impl HolderProbe for Probe {
    fn announces(&self, since: Instant, budget: Duration) -> Option<bool> {
        // Whoever has it locked is about to know more. In a forked child it may be locked for ever.
        let mut search = SEARCH.try_lock().ok()?;
        if search.process.is_none_or(|process| !process.is_current()) {
            *search = Search {
                process: Some(ForkGeneration::current()),
                ..Search::NONE
            };
        }
        if search.begun.is_some_and(|begun| begun >= since) {
            let mut found = search.found.iter();
            return Some(found.any(|found| found.excludes(&self.wanted)));
        }
        let now = Instant::now();
        if !search.is_under_way && search.not_before.is_none_or(|then| now >= then) {
            search.is_under_way = thread::Builder::new()
                .name("touchfile-probe".into())
                .spawn(move || run(budget))
                .is_ok();
            search.not_before = Some(now + Search::SHORTEST_PAUSE);
        }
        None
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        PROBES.fetch_sub(1, Ordering::Relaxed);
    }
}

static SEARCH: Mutex<Search> = Mutex::new(Search::NONE);

/// The latest search of this process.
#[derive(Debug)]
struct Search {
    /// A forked child has its parent's search, and none of its threads.
    process: Option<ForkGeneration>,
    is_under_way: bool,
    begun: Option<Instant>,
    found: Vec<Lock>,
    /// When there may be another.
    not_before: Option<Instant>,
}

impl Search {
    const NONE: Self = Self {
        process: None,
        is_under_way: false,
        begun: None,
        found: Vec::new(),
        not_before: None,
    };

    /// The time from the beginning of one search to that of the next is at least this.
    const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

    /// After a search there is no other for so many times as long as it used the processor.
    const PAUSE_PER_COST: u32 = 100;

    const LONGEST_PAUSE: Duration = Duration::from_secs(60);
}

/// Searches. It ends early if it has used too much processor time, or if no wait has a question any
/// more: what it did not find by then counts as not announced.
fn run(budget: Duration) {
    let begun = Instant::now();
    let before = processor_time();
    let used = || processor_time().saturating_sub(before);
    let goes_on = || used() < budget && PROBES.load(Ordering::Relaxed) > 0;
    let found = marked_locks(goes_on).unwrap_or_default();
    let pause = (Search::PAUSE_PER_COST * used()).min(Search::LONGEST_PAUSE);
    let Ok(mut search) = SEARCH.lock() else {
        return;
    };
    search.begun = Some(begun);
    search.found = found;
    search.is_under_way = false;
    search.not_before = search.not_before.max(Some(Instant::now() + pause));
}

/// The processor time that this thread has used.
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
        let looked = each_descriptor(pid, &goes_on, |number, _, fdinfo| {
            let mut listed = Entry::parse_fdinfo(fdinfo).peekable();
            if !is_marked(fdinfo) || listed.peek().is_none() {
                return;
            }
            // Not by the numbers of the kernel's list, which stat(2) may not know.
            let Ok(file) = FileId::from_link(&format!("/proc/{pid}/fd/{number}")) else {
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

/// The processes in an order in which the holder comes early: those that took a lock with flock(2), which
/// the kernel lists, come first, and this process comes last.
fn likeliest_first(mut processes: Vec<u32>) -> Vec<u32> {
    const MOST: u64 = 1 << 18;

    // Any user can take as many locks as it likes.
    let mut listed = String::new();
    if let Ok(list) = fs::File::open("/proc/locks") {
        list.take(MOST).read_to_string(&mut listed).ok();
    }
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
    fn a_mark_is_seen_in_proc() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let marks: Vec<_> = [OFlags::empty(), MARK]
            .into_iter()
            .map(|mark| {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | mark;
                let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).unwrap();
                let mut marked = None;
                each_descriptor(std::process::id(), &|| true, |number, _, fdinfo| {
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
