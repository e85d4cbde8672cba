//! What the calls say about who held the lock of a file, and when.

use std::collections::{BTreeMap, HashMap};

use touchfile_core::LockMode;

use crate::free::history::{History, Record};
use crate::free::log::{Call, Outcome};

/// The time of the end of a hold that has not ended.
pub(super) const NEVER_NS: u64 = u64::MAX;

/// An acquisition that has succeeded or may have succeeded.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// The call that asked for the lock.
    pub(super) call: usize,
    /// The call that asked for the release, if there was one.
    pub(super) release: Option<usize>,
    pub(super) mode: LockMode,
    pub(super) asked_ns: u64,
    /// The time of the answer "acquired", if there was one.
    pub(super) acquired_ns: Option<u64>,
    /// From this time on the hold may be over.
    pub(super) may_end_ns: u64,
    /// By this time the hold is over.
    pub(super) over_ns: u64,
    /// How it ended.
    pub(super) end: End,
    /// The time at which the handle was used again after an unlock.
    pub(super) reused_ns: u64,
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum End {
    /// The wait was given up or failed.
    GivenUp,
    /// The handle was unlocked.
    Unlocked,
    /// The handle was dropped.
    Dropped,
    /// The process was killed.
    Killed,
    /// It did not end before the end of the history.
    Open,
}

/// An attempt that found the lock taken.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    pub(super) call: usize,
    pub(super) mode: LockMode,
    pub(super) asked_ns: u64,
    pub(super) answered_ns: u64,
}

/// What all calls on one file say.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    pub(super) holds: Vec<Hold>,
    pub(super) busy: Vec<Busy>,
}

impl Hold {
    /// The last call of this hold: the release, or the acquisition if there was no release.
    pub(super) fn last_call(&self) -> usize {
        self.release.unwrap_or(self.call)
    }

    /// The time during which the lock was surely held.
    pub(super) fn sure(&self) -> Option<(u64, u64)> {
        let from = self.acquired_ns?;
        (from < self.may_end_ns).then_some((from, self.may_end_ns))
    }
}

impl Claims {
    /// The claims on each file.
    pub(super) fn by_file(history: &History) -> BTreeMap<u32, Self> {
        let mut files: BTreeMap<u32, Self> = BTreeMap::new();
        // The last hold of each task's handle, as an index into those of its file.
        let mut handles: HashMap<(u32, u32), usize> = HashMap::new();
        for (index, record) in history.calls.iter().enumerate() {
            let death = history.deaths.get(&record.process);
            if death.is_some_and(|death| death.reaped_ns < record.invoked_ns) {
                continue; // the code of a killed simulated process still runs, without effect
            }
            let claims = files.entry(record.file).or_default();
            let task = (record.process, record.task);
            if let Some(&last) = handles.get(&task) {
                let hold = &mut claims.holds[last];
                if hold.over_ns == NEVER_NS {
                    release(hold, index, record);
                } else {
                    hold.reused_ns = hold.reused_ns.min(record.invoked_ns);
                }
            }
            match (record.call, record.outcome()) {
                (Call::Try(mode), Some(Outcome::WouldBlock)) => claims.busy.push(Busy {
                    call: index,
                    mode,
                    asked_ns: record.invoked_ns,
                    answered_ns: record.answered_ns().unwrap_or(NEVER_NS),
                }),
                (Call::Try(mode) | Call::Lock(mode, _), _) => {
                    handles.insert(task, claims.holds.len());
                    claims.holds.push(acquisition(index, record, mode));
                }
                (Call::Drop, _) => {
                    handles.remove(&task);
                }
                _ => {}
            }
        }
        for claims in files.values_mut() {
            claims.end_with_processes(history);
        }
        files
    }

    /// Ends the holds of killed processes.
    fn end_with_processes(&mut self, history: &History) {
        for hold in &mut self.holds {
            let Some(death) = history.deaths.get(&history.calls[hold.call].process) else {
                continue;
            };
            if hold.over_ns == NEVER_NS {
                hold.over_ns = death.reaped_ns.saturating_add(history.death_grace_ns());
                hold.end = End::Killed;
            }
            hold.may_end_ns = hold.may_end_ns.min(death.invoked_ns);
        }
        for hold in &mut self.holds {
            // No hold ends before it begins, even if its process was killed earlier.
            hold.may_end_ns = hold.may_end_ns.max(hold.asked_ns);
            hold.over_ns = hold.over_ns.max(hold.acquired_ns.unwrap_or(0));
        }
    }
}

fn acquisition(call: usize, record: &Record, mode: LockMode) -> Hold {
    let hold = Hold {
        call,
        release: None,
        mode,
        asked_ns: record.invoked_ns,
        acquired_ns: None,
        may_end_ns: NEVER_NS,
        over_ns: NEVER_NS,
        end: End::Open,
        reused_ns: NEVER_NS,
    };
    match record.answer {
        Some((at_ns, Outcome::Acquired)) => Hold {
            acquired_ns: Some(at_ns),
            ..hold
        },
        Some((at_ns, _)) => Hold {
            may_end_ns: record.invoked_ns,
            over_ns: at_ns,
            end: End::GivenUp,
            ..hold
        },
        None => hold,
    }
}

/// Ends a hold by a later call on the same handle.
fn release(hold: &mut Hold, index: usize, record: &Record) {
    let end = match record.call {
        Call::Drop => End::Dropped,
        Call::Unlock => End::Unlocked,
        _ => return,
    };
    hold.end = end;
    hold.release.get_or_insert(index);
    hold.may_end_ns = hold.may_end_ns.min(record.invoked_ns);
    // After a failed unlock it is unknown whether the lock is held, until the handle is dropped.
    if let Some((at_ns, Outcome::Done)) = record.answer {
        hold.over_ns = at_ns;
    }
}
