//! What can be told of a process.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

/// The facts about a process that exists.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) uid: Option<u32>,
    pub(super) command: String,
    pub(super) started: Option<SystemTime>,
    /// A thread of the kernel: it has no descriptors, and can hold locks all the same, as those
    /// that serve NFS do for their clients.
    pub(super) kernel: bool,
}

impl Facts {
    /// `None` if there is no such process any more, or none that we may see.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = Stat::parse(&String::from_utf8_lossy(&stat))?;
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
        Some(Self {
            uid: effective_uid(&String::from_utf8_lossy(&status)),
            command: words(&cmdline).unwrap_or_else(|| stat.name.clone()),
            started: boot_time().and_then(|boot| boot.checked_add(stat.since_boot())),
            kernel: stat.kernel,
        })
    }
}

/// The facts about processes, of which each is looked up once.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<u32, Option<Facts>>);

impl Known {
    pub(super) fn of(&mut self, pid: u32) -> Option<Facts> {
        self.0.entry(pid).or_insert_with(|| Facts::of(pid)).clone()
    }
}

/// The part of /proc/PID/stat that matters here (proc_pid_stat(5)).
#[derive(Debug, Eq, PartialEq)]
struct Stat {
    name: String,
    kernel: bool,
    started_ticks: u64,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        /// Of include/linux/sched.h.
        const PF_KTHREAD: u64 = 0x0020_0000;
        // The name is in parentheses, and may have more of them in it.
        let (before, after) = line.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let mut fields = after.split_ascii_whitespace();
        let flags: u64 = fields.nth(6)?.parse().ok()?; // field 9
        let started_ticks = fields.nth(12)?.parse().ok()?; // field 22
        Some(Self {
            name: name.to_owned(),
            kernel: flags & PF_KTHREAD != 0,
            started_ticks,
        })
    }

    fn since_boot(&self) -> Duration {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Duration::from_millis(self.started_ticks.saturating_mul(1_000) / per_second)
    }
}

/// A command line as one line; `None` where there is none, as of a thread of the kernel or of a
/// process that has ended.
fn words(cmdline: &[u8]) -> Option<String> {
    let end = cmdline.iter().rposition(|byte| *byte != 0)?;
    let words = cmdline[..=end].split(|byte| *byte == 0);
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    Some(words.join(" "))
}

fn effective_uid(status: &str) -> Option<u32> {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    uids.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// All that is parsed of what a process can write itself: its name and its command line.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_process(text: &[u8]) {
    let lossy = String::from_utf8_lossy(text);
    if let Some(stat) = Stat::parse(&lossy) {
        assert!(lossy.contains(&stat.name), "{lossy:?}");
        stat.since_boot();
    }
    effective_uid(&lossy);
    assert!(
        words(text).is_none_or(|words| !words.is_empty()),
        "{lossy:?}"
    );
}

/// The resolution is that of /proc/stat, a second.
fn boot_time() -> Option<SystemTime> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_spaces_and_parentheses() {
        let line = "77 (a) (b c) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2 3";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat.name, "a) (b c");
        assert_eq!(stat.started_ticks, 4711);
        assert!(!stat.kernel);
    }

    #[test]
    fn this_process_is_known_and_has_just_begun() {
        let facts = Facts::of(std::process::id()).unwrap();
        let program = std::env::args().next().unwrap();
        assert!(facts.command.starts_with(&program), "{}", facts.command);
        assert_eq!(facts.uid, Some(nix::unistd::geteuid().as_raw()));
        let age = SystemTime::now().duration_since(facts.started.unwrap());
        // Started after the system was, and before now, as far as a second is exact.
        let slack = Duration::from_secs(2);
        assert!(age.is_ok() || facts.started.unwrap() < SystemTime::now() + slack);
        assert!(facts.started > boot_time());
    }

    #[test]
    fn what_runs_nothing_of_its_own_has_the_name_the_kernel_gave_it() {
        let facts = Facts::of(2); // kthreadd, unless this is a container
        if let Some(facts) = facts.filter(|facts| facts.kernel) {
            assert_eq!(facts.command, "kthreadd");
        }
    }

    #[test]
    fn a_command_line_is_its_words() {
        assert_eq!(words(b"cargo\0build\0").as_deref(), Some("cargo build"));
        assert_eq!(words(b"a\0\0b\0\0\0").as_deref(), Some("a  b"));
        assert_eq!(words(b""), None);
        assert_eq!(words(b"\0\0"), None);
    }
}
