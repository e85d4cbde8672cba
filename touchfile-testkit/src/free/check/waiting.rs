//! The rules about calls that take too long, end too early or fail.

use std::collections::BTreeMap;

use touchfile_core::LockMode;

use super::blame::Releases;
use super::claims::{Claims, Hold, NEVER_NS};
use super::overlap::Sure;
use super::{Findings, Law};
use crate::free::history::Record;
use crate::free::log::{Call, Outcome, WaitLimit};

/// Finds waits during which the lock was free for a long time.
pub(super) fn long_waits(file: u32, claims: &Claims, forced: &[bool], found: &mut Findings<'_>) {
    let (sure, releases) = (Sure::new(claims, forced), Releases::new(claims));
    for (index, record) in found.history.calls.iter().enumerate() {
        let Call::Lock(mode, _) = record.call else {
            continue;
        };
        let until = last_seen_ns(record, found);
        if record.file != file || until.saturating_sub(record.invoked_ns) < found.history.soon_ns()
        {
            continue;
        }
        let others = claims.holds.iter().enumerate().filter(|(_, hold)| {
            hold.call != index && hold.mode.conflicts_with(mode) && hold.asked_ns < until
        });
        let mut held: Vec<(u64, u64)> = others
            .map(|(other, hold)| match forced[other] {
                true => (hold.asked_ns, hold.over_ns),
                false => sure.possible(hold),
            })
            .collect();
        held.sort_unstable();
        let Some(free_ns) = free_for(found.history.soon_ns(), record.invoked_ns, until, &held)
        else {
            continue;
        };
        let (law, last) = releases.blame(mode, free_ns, Law::Liveness);
        let mut calls = vec![index];
        calls.extend(last.map(Hold::last_call));
        let (who, from, to) = (found.who(index), found.us(free_ns), found.us(until));
        found.add(law, file, &calls, || {
            format!(
                "on file {file}, {who} waited for the {mode} lock until {to}, though nobody can \
                 have held a conflicting one for more than two seconds from {from}"
            )
        });
    }
}

/// Finds calls that have not returned.
pub(super) fn hung(found: &mut Findings<'_>) {
    let mut hung: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, record) in found.history.calls.iter().enumerate() {
        let death = found.history.deaths.get(&record.process);
        let expected = death.is_none_or(|death| death.overdue);
        let timeout_ns = match record.call {
            Call::Lock(_, WaitLimit::Timeout(timeout)) => {
                u64::try_from(timeout.as_nanos()).unwrap_or(NEVER_NS)
            }
            _ => 0,
        };
        let waited_ns = last_seen_ns(record, found).saturating_sub(record.invoked_ns);
        if record.answer.is_none()
            && expected
            && waited_ns.saturating_sub(timeout_ns) >= found.history.soon_ns()
        {
            hung.entry(record.process).or_default().push(index);
        }
    }
    // Other processes may wait because one process hangs. Then only the cause is reported.
    let mut waiting = hung.clone();
    for (process, calls) in &hung {
        if calls
            .iter()
            .all(|&call| is_unlimited(found, call).is_some())
        {
            continue;
        }
        waiting.clear();
        blocked(*process, calls, found);
    }
    for call in waiting.into_values().flatten() {
        never_served(call, found);
    }
}

/// Reports a process in which not only unlimited waits hang. Its thread is blocked, most likely by its
/// last call.
fn blocked(process: u32, calls: &[usize], found: &mut Findings<'_>) {
    let last = calls
        .iter()
        .max_by_key(|&&call| found.history.calls[call].invoked_ns);
    let Some(&last) = last else { return };
    let Record { file, call, .. } = found.history.calls[last];
    let since = found.us(found.history.calls[last].invoked_ns);
    let (law, meaning) = match call {
        Call::Drop | Call::Unlock => (Law::Release, "a release does not come to an end"),
        Call::Open | Call::Try(_) => (Law::Liveness, "a call that should not wait does"),
        Call::Increment | Call::Lock(..) | Call::ReadTwice => (
            Law::CancelSafety,
            "a wait blocks its thread, so that nobody can give it up",
        ),
    };
    found.add(law, file, calls, || {
        format!("process {process} stands still since {since}: {meaning}")
    });
}

/// Reports a wait that lasts beyond the end of the race, when the lock is free.
///
/// Other waits without an answer are no explanation: one of them may have been granted the lock, but
/// then that is the wait which does not end.
fn never_served(call: usize, found: &mut Findings<'_>) {
    let Some(mode) = is_unlimited(found, call) else {
        return;
    };
    let record = &found.history.calls[call];
    let (file, until) = (record.file, last_seen_ns(record, found));
    let files = Claims::by_file(found.history);
    let Some(claims) = files.get(&file) else {
        return;
    };
    let answered = claims.holds.iter().filter(|hold| {
        let answer = &found.history.calls[hold.call].answer;
        hold.mode.conflicts_with(mode) && answer.is_some()
    });
    let free_ns = answered.map(|hold| hold.over_ns).max().unwrap_or(0);
    let free_ns = free_ns.max(record.invoked_ns);
    if until.saturating_sub(free_ns) < found.history.soon_ns() {
        return;
    }
    let (law, last) = Releases::new(claims).blame(mode, until, Law::Liveness);
    let mut calls = vec![call];
    calls.extend(last.map(Hold::last_call));
    let (who, from, to) = (found.who(call), found.us(free_ns), found.us(until));
    found.add(law, file, &calls, || {
        format!(
            "on file {file}, {who} still waited for the {mode} lock at {to}, though all who held a \
             conflicting one had let go by {from}"
        )
    });
}

/// Finds calls that failed, and waits that timed out too early.
pub(super) fn failures(found: &mut Findings<'_>) {
    for (index, record) in found.history.calls.iter().enumerate() {
        let Some((at_ns, outcome)) = &record.answer else {
            continue;
        };
        let death = found.history.deaths.get(&record.process);
        if death.is_some_and(|death| death.invoked_ns <= *at_ns) {
            continue; // the calls of a killed simulated process fail
        }
        let (file, call, who) = (record.file, record.call, found.who(index));
        match (call, outcome) {
            (_, Outcome::Failed(error)) => {
                let law = if error.starts_with("Unsupported") {
                    Law::Capabilities
                } else {
                    Law::Errors
                };
                found.add(law, file, &[index], || {
                    format!("on file {file}, \"{call}\" of {who} failed: {error}")
                });
            }
            (Call::Lock(_, WaitLimit::Timeout(timeout)), Outcome::TimedOut)
                if u128::from(at_ns - record.invoked_ns) < timeout.as_nanos() =>
            {
                found.add(Law::Liveness, file, &[index], || {
                    format!("on file {file}, {who} was to wait for {timeout:?} and gave up earlier")
                });
            }
            _ => {}
        }
    }
}

fn is_unlimited(found: &Findings<'_>, call: usize) -> Option<LockMode> {
    match found.history.calls[call].call {
        Call::Lock(mode, WaitLimit::Unlimited) => Some(mode),
        _ => None,
    }
}

/// The time of the answer of a call, or the last time at which its process is known to have waited.
fn last_seen_ns(record: &Record, found: &Findings<'_>) -> u64 {
    record.answered_ns().unwrap_or_else(|| {
        let death = found.history.deaths.get(&record.process);
        death.map_or(found.end_ns, |death| death.invoked_ns)
    })
}

/// The beginning of the first gap of this length between the sorted intervals, within two times.
fn free_for(long: u64, from: u64, to: u64, held: &[(u64, u64)]) -> Option<u64> {
    let mut free_from = from;
    for &(begin, end) in held {
        if begin.min(to).saturating_sub(free_from) >= long {
            return Some(free_from);
        }
        free_from = free_from.max(end);
    }
    (to.saturating_sub(free_from) >= long).then_some(free_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_time_is_what_no_interval_covers() {
        assert_eq!(free_for(5, 0, 10, &[]), Some(0));
        assert_eq!(free_for(5, 0, 10, &[(4, 6)]), None);
        assert_eq!(free_for(5, 0, 20, &[(0, 9), (4, 6), (15, 30)]), Some(9));
        assert_eq!(free_for(5, 0, 20, &[(0, 9), (13, 15)]), Some(15));
        assert_eq!(free_for(5, 0, 20, &[(0, 9), (13, 16)]), None);
        assert_eq!(free_for(5, 10, 12, &[(0, 3)]), None);
    }
}
