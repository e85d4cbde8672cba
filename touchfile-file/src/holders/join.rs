//! Putting together what the kernel lists and what the processes have open.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::facts::{Facts, Known};
use super::list::{Counts, FOR_A_MESSAGE, list};
use super::locks::Entry;
use super::scan::Scan;
use super::{place, sees_all_processes, waits};
use touchfile_core::{Holder, LockKind, ProcessId};

/// How far to look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// To everybody who has one of the locks.
    All,
    /// For a message about the locks of these kinds: to whoever took one, if it still has it; else to
    /// everybody. That is a matter of few processes, not of all there are. Any user can take many locks
    /// and have many descriptors, so it ends early if there are too many.
    Message(&'static [LockKind]),
}

pub(super) fn holders(path: &Path, reach: Reach) -> io::Result<Vec<Holder>> {
    /// How many locks a message is about at most.
    const MOST: usize = 64;
    /// How long to look through descriptors for a message. It is some ten thousand of them.
    const LONGEST: Duration = Duration::from_millis(50);

    let file = place::of(path)?;
    let most = match reach {
        Reach::All => u64::MAX,
        Reach::Message(_) => FOR_A_MESSAGE,
    };
    let (mut listed, whole) = list(Some(file), most)?;
    if let Reach::Message(kinds) = reach {
        listed.retain(|entry| kinds.contains(&entry.kind));
        listed.truncate(MOST);
    }
    let started = Instant::now();
    let goes_on = || reach == Reach::All || started.elapsed() < LONGEST;
    // Outside of the first pid namespace, locks of processes that are not in it are left out
    // (`locks_show` in fs/locks.c), though some of ours may have inherited one.
    let complete = sees_all_processes();
    if listed.is_empty() && whole && complete {
        return Ok(Vec::new());
    }
    let unnamed: Vec<&Entry> = listed
        .iter()
        .filter(|entry| !names_its_owner(entry))
        .collect();
    let mut scan = Scan::default();
    if reach != Reach::All {
        let takers: BTreeSet<u32> = unnamed.iter().filter_map(|entry| entry.taker()).collect();
        scan = Scan::of_some(takers, file, &goes_on);
    }
    let owners: HashSet<(Option<u32>, &Entry)> = scan
        .owners
        .iter()
        .map(|(pid, entry)| (Some(*pid), entry))
        .collect();
    let found = |entry: &&Entry| owners.contains(&(entry.taker(), *entry));
    // A long list may have passed over some while it changed.
    let passed_over = !whole && listed.is_empty();
    if reach == Reach::All || !complete || passed_over || !unnamed.iter().all(found) {
        scan = Scan::of(file, &goes_on)?;
    } else {
        scan.hear_all(&goes_on)?;
    }
    if let Reach::Message(kinds) = reach {
        scan.owners.retain(|(_, entry)| kinds.contains(&entry.kind));
        scan.owners.truncate(MOST);
    }
    let mut facts = Known::default();
    let mut joined = join(&listed, &scan, &mut |pid| facts.of(pid));
    let mut waits = waits::believed(&scan, &mut facts, &goes_on);
    waits.retain(|wait| wait.file == file);
    if reach != Reach::All {
        waits.truncate(MOST);
    }
    let waiters = waits::waiters(waits, &mut joined);
    let mut found = if joined.iter().all(|(_, holder)| is_certain(holder)) {
        joined.into_iter().map(|(_, holder)| holder).collect()
    } else {
        // A holder that was not found may have released between the two readings.
        let (still, _) = list(Some(file), most)?;
        those_still_there(joined, &still)
    };
    found.extend(waiters);
    Ok(found)
}

/// Those who are certain, and of the others those whose lock is `still` listed.
pub(super) fn those_still_there(joined: Vec<(Entry, Holder)>, still: &[Entry]) -> Vec<Holder> {
    let joined = joined.into_iter();
    let still: HashSet<&Entry> = still.iter().collect();
    joined
        .filter(|(entry, holder)| is_certain(holder) || still.contains(entry))
        .map(|(_, holder)| holder)
        .collect()
}

/// Whether it is of the process that the kernel lists with it, so that nobody need be looked for.
fn names_its_owner(entry: &Entry) -> bool {
    entry.waiting || entry.kind == LockKind::Posix
}

fn is_certain(holder: &Holder) -> bool {
    holder.pid().is_some() && holder.confirmed && !holder.waiting
}

/// Names the holders, with the entry of the list that each was found by; holders come first.
pub(super) fn join(
    listed: &[Entry],
    scan: &Scan,
    facts: &mut dyn FnMut(u32) -> Option<Facts>,
) -> Vec<(Entry, Holder)> {
    let mut joined = Vec::new();
    let counts = Counts::of(listed);
    let mut having: HashMap<&Entry, Vec<u32>> = HashMap::new();
    for (pid, entry) in &scan.owners {
        having.entry(entry).or_default().push(*pid);
    }
    let of_scan = scan.owners.iter().map(|(_, entry)| entry);
    let all = Counts::of(listed.iter().chain(of_scan));
    for entry in all.distinct.iter().filter(|entry| !entry.waiting) {
        let having = having.remove(entry).unwrap_or_default();
        joined.extend(owners(entry, counts.times(entry), having, scan, facts));
    }
    for entry in listed.iter().filter(|entry| entry.waiting) {
        joined.extend(waiter(entry, facts).map(|waiter| (entry.clone(), waiter)));
    }
    joined
}

/// Joins what is listed with nothing: no process is looked at.
#[cfg(feature = "fuzzing")]
pub(crate) fn join_only(listed: &[Entry]) {
    let joined = join(listed, &Scan::default(), &mut |_| None);
    assert!(
        joined.len() <= listed.len(),
        "no lock has two holders unseen"
    );
}

/// The holders of a lock that is listed so many times: once for each open file description. Processes
/// `having` it are there once for each descriptor.
fn owners(
    entry: &Entry,
    times: usize,
    having: Vec<u32>,
    scan: &Scan,
    facts: &mut dyn FnMut(u32) -> Option<Facts>,
) -> Vec<(Entry, Holder)> {
    let mut owners = Vec::new();
    let mut pids = having.clone();
    pids.dedup();
    // Whoever took it first, as those who inherited it are mostly there for its sake.
    pids.sort_by_key(|pid| (i64::from(*pid) != entry.pid, *pid));
    for pid in pids {
        // One that has gone by now has let go as well, as far as it is concerned.
        owners.extend(facts(pid).map(|facts| named(entry, pid, &facts)));
    }
    // The locks that no descriptor was found for. Two of one process cannot be told from one that it has
    // twice, so there may be more: but not fewer.
    for _ in having.len()..times {
        owners.extend(unfound(entry, scan, facts));
    }
    owners
        .into_iter()
        .map(|owner| (entry.clone(), owner))
        .collect()
}

/// The holder of a lock that is in no descriptor which we could look at.
fn unfound(
    entry: &Entry,
    scan: &Scan,
    facts: &mut dyn FnMut(u32) -> Option<Facts>,
) -> Option<Holder> {
    let unseen = if !scan.hidden.is_empty() || processes_are_hidden() {
        ProcessId::Hidden
    } else if sees_all_processes() {
        ProcessId::Unknown
    } else {
        ProcessId::OtherNamespace
    };
    let pid = u32::try_from(entry.pid).ok().filter(|pid| *pid > 0);
    match (entry.kind, pid.and_then(|pid| Some((pid, facts(pid)?)))) {
        // It ends with its process.
        (LockKind::Posix, Some((pid, facts))) => Some(named(entry, pid, &facts)),
        (LockKind::Flock, Some((pid, facts))) if facts.kernel => Some(named(entry, pid, &facts)),
        // It took it, and may have passed it on and let go.
        (LockKind::Flock, Some((pid, facts))) if scan.hidden.contains(&pid) => {
            let mut holder = named(entry, pid, &facts);
            holder.confirmed = false;
            Some(holder)
        }
        _ => Some(unnamed(entry, unseen)),
    }
}

fn waiter(entry: &Entry, facts: &mut dyn FnMut(u32) -> Option<Facts>) -> Option<Holder> {
    match u32::try_from(entry.pid) {
        Ok(0) => Some(unnamed(entry, ProcessId::OtherNamespace)),
        Ok(pid) => match facts(pid) {
            Some(facts) => Some(named(entry, pid, &facts)),
            None if processes_are_hidden() => Some(unnamed(entry, ProcessId::Hidden)),
            None => None, // it has gone, and waits no longer
        },
        Err(_) => Some(unnamed(entry, ProcessId::Unknown)),
    }
}

fn named(entry: &Entry, pid: u32, facts: &Facts) -> Holder {
    let mut holder = described(entry);
    holder.process = ProcessId::Known(pid);
    holder.uid = facts.uid;
    holder.command = Some(facts.command.clone());
    holder.started = facts.started;
    holder
}

fn unnamed(entry: &Entry, process: ProcessId) -> Holder {
    let mut holder = described(entry);
    holder.process = process;
    holder
}

fn described(entry: &Entry) -> Holder {
    let mut holder = Holder::new(entry.mode);
    holder.kind = Some(entry.kind);
    holder.range = entry.range.clone();
    holder.waiting = entry.waiting;
    holder
}

/// Whether /proc leaves out the processes of other users (hidepid in proc(5)): the first one is
/// never ours, unless we see all.
fn processes_are_hidden() -> bool {
    !Path::new("/proc/1/stat").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each process by its number, but 99, which has gone, and 2, which is of the kernel.
    fn facts(pid: u32) -> Option<Facts> {
        (pid != 99).then(|| Facts {
            uid: Some(1000),
            command: format!("program{pid}"),
            started: None,
            kernel: pid == 2,
        })
    }

    /// What is printed of the holders of these locks. A process that is listed with none in what
    /// it has open is hidden.
    fn messages(listed: &str, open: &[(u32, &str)]) -> Vec<String> {
        let parse = |line: &str| Entry::parse(&format!("1: {line}")).unwrap();
        let listed: Vec<Entry> = listed.lines().map(|line| parse(line.trim())).collect();
        let mut scan = Scan::default();
        for (pid, line) in open {
            if *line == "hidden" {
                scan.hidden.push(*pid);
            } else {
                scan.owners.push((*pid, parse(line)));
            }
        }
        let joined = join(&listed, &scan, &mut facts);
        joined
            .iter()
            .map(|(_, holder)| {
                let state = match (holder.waiting, holder.confirmed) {
                    (true, _) => "waits",
                    (false, true) => "holds",
                    (false, false) => "took",
                };
                format!("{holder} {state} {}", holder.kind.unwrap())
            })
            .collect()
    }

    const FLOCK_7: &str = "FLOCK ADVISORY WRITE 7 fe:00:1 0 EOF";
    const READ_7: &str = "FLOCK ADVISORY READ 7 fe:00:1 0 EOF";
    const OFD: &str = "OFDLCK ADVISORY READ -1 fe:00:1 0 EOF";
    const POSIX_7: &str = "POSIX ADVISORY WRITE 7 fe:00:1 0 EOF";

    #[test]
    fn a_flock_is_of_whoever_has_it_open_and_not_of_who_took_it() {
        assert_eq!(
            messages(FLOCK_7, &[(7, FLOCK_7)]),
            ["pid 7 (program7) holds FLOCK"]
        );
        assert_eq!(
            messages(FLOCK_7, &[(8, FLOCK_7)]),
            ["pid 8 (program8) holds FLOCK"]
        );
        assert_eq!(
            messages(FLOCK_7, &[(3, FLOCK_7), (7, FLOCK_7), (7, FLOCK_7)]),
            [
                "pid 7 (program7) holds FLOCK",
                "pid 3 (program3) holds FLOCK"
            ]
        );
    }

    #[test]
    fn a_flock_that_a_stranger_took_is_not_said_to_be_held_by_it() {
        assert_eq!(
            messages(FLOCK_7, &[(7, "hidden")]),
            ["pid 7 (program7) took FLOCK"]
        );
        // Another process has the number by now, and not the lock.
        assert_eq!(
            messages(FLOCK_7, &[(8, "hidden")]),
            ["an unknown process (no permission to see which) holds FLOCK"]
        );
    }

    #[test]
    fn an_ofd_lock_is_found_by_descriptor_or_not_at_all() {
        assert_eq!(
            messages(OFD, &[(8, OFD)]),
            ["pid 8 (program8) holds OFDLCK"]
        );
        assert_eq!(
            messages(OFD, &[(8, "hidden")]),
            ["an unknown process (no permission to see which) holds OFDLCK"]
        );
        let two = format!("{OFD}\n{OFD}");
        assert_eq!(
            messages(&two, &[(8, OFD), (9, "hidden")]),
            [
                "pid 8 (program8) holds OFDLCK",
                "an unknown process (no permission to see which) holds OFDLCK"
            ]
        );
        assert_eq!(
            messages(&two, &[(8, OFD), (9, OFD)]),
            [
                "pid 8 (program8) holds OFDLCK",
                "pid 9 (program9) holds OFDLCK"
            ]
        );
    }

    #[test]
    fn a_posix_lock_is_of_its_process_whoever_may_look() {
        for open in [&[(7, "hidden")][..], &[(7, POSIX_7)], &[]] {
            assert_eq!(messages(POSIX_7, open), ["pid 7 (program7) holds POSIX"]);
        }
    }

    #[test]
    fn the_kernel_holds_locks_for_the_clients_it_serves() {
        let line = "FLOCK ADVISORY WRITE 2 fe:00:1 0 EOF";
        assert_eq!(messages(line, &[]), ["pid 2 (program2) holds FLOCK"]);
    }

    #[test]
    fn what_only_a_descriptor_shows_is_held_too() {
        // In a pid namespace, where the lock of a process outside of it is not listed.
        let inherited = "FLOCK ADVISORY WRITE 0 fe:00:1 0 EOF";
        assert_eq!(
            messages("", &[(5, inherited)]),
            ["pid 5 (program5) holds FLOCK"]
        );
    }

    #[test]
    fn a_waiter_is_named_if_the_kernel_names_it() {
        let listed = format!(
            "{READ_7}\n-> FLOCK ADVISORY WRITE 8 fe:00:1 0 EOF\n-> FLOCK ADVISORY WRITE 0 fe:00:1 0 EOF\n\
             -> OFDLCK ADVISORY WRITE -1 fe:00:1 0 EOF\n-> FLOCK ADVISORY WRITE 99 fe:00:1 0 EOF"
        );
        assert_eq!(
            messages(&listed, &[(7, READ_7)]),
            [
                "pid 7 (program7) holds FLOCK",
                "pid 8 (program8) waits FLOCK",
                "a process in another pid namespace waits FLOCK",
                "an unknown process waits OFDLCK",
            ]
        );
    }

    #[test]
    fn whoever_has_gone_holds_nothing() {
        assert!(messages(FLOCK_7, &[(99, FLOCK_7)]).is_empty());
    }
}
