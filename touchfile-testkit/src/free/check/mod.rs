//! Judging a free run: which laws were certainly broken, whatever the order of the calls was.
//!
//! # What can be known
//!
//! The log has, for each call, a time before it and a time after it; the call took effect at some
//! moment in between. A history is right if such moments *can* be chosen so that the calls, put in
//! that order, obey the sequential rules of a lock. This is linearizability (Herlihy and Wing,
//! "Linearizability: a correctness condition for concurrent objects", 1990), and a violation is
//! reported only if there is no such choice. So, of each acquisition:
//!
//! - the lock was *surely held* from the answer "acquired" to the moment the release was asked
//!   for, or to the moment just before its process was killed;
//! - it was *possibly held* from the moment it was asked for to the answer of the release, or to
//!   the moment the death of its process was known (and a [grace](History::death_grace) beyond,
//!   since a network file system releases for the dead at its leisure);
//! - a wait that was given up, failed or was never answered was *possibly held* all the while:
//!   it may have been granted the lock at the last moment and let go at once.
//!
//! # The rules
//!
//! - [`overlap`]: surely held intervals that conflict break exclusion. Where nobody was killed in
//!   the middle of an acquisition, this rule is exact: if no two conflict, the acquisitions alone
//!   can be put in order, each taking effect at its answer and ending when its release is asked
//!   for. It also finds each "busy" that no acquisition can explain even by itself.
//! - [`order`]: whether all "busy" answers can be explained *together* is a search over orders,
//!   done as the history unfolds (Lowe, "Testing for linearizability", 2017). Exact too.
//! - [`waiting`]: each wait ends, and does so soon after the lock is free; calls that fail; whose
//!   processes hang.
//! - [`witnesses`]: no update of a witness was lost. Needs no clock.

mod blame;
mod claims;
mod order;
mod overlap;
mod waiting;
mod witnesses;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use self::claims::{Claims, End};
use super::history::{History, Record};
use crate::Law;

/// At most so many violations of each law on each file are reported: further ones say the same.
const MOST_VIOLATIONS: usize = 3;

/// If nothing explains so many answers "busy", and all of them came after cancelled waits, and so many
/// calls on files without cancelled waits were answered rightly, then the cancelled waits are the cause.
const MANY_AFTER_CANCEL: u32 = 5;
const MANY_WITHOUT_CANCEL: usize = 200;

/// A law that was certainly broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    /// Which.
    pub(crate) law: Law,
    /// On which lock file.
    pub(crate) file: u32,
    /// What happened, in a sentence. Its times count from the first call of the run.
    pub(crate) trace: String,
    /// The calls it is about, in the order in which they were made.
    pub(crate) calls: Vec<Record>,
    start_ns: u64,
}

/// The laws that this history shows to be broken: none, for a correct backend, ever.
///
/// At most three violations of each law on each file, the earliest.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut found = Findings::new(history);
    for (file, claims) in Claims::by_file(history) {
        if claims.holds.iter().all(|hold| hold.end != End::GivenUp) {
            found.without_cancel += claims.holds.len();
        }
        let forced = overlap::exclusion(file, &claims, &mut found);
        let judged = overlap::busy(file, &claims, &forced, &mut found);
        order::busy(file, &claims, &judged, &mut found);
        waiting::long_waits(file, &claims, &forced, &mut found);
    }
    waiting::hung(&mut found);
    waiting::failures(&mut found);
    witnesses::updates(&mut found);
    found.into_violations()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.trace)?;
        for call in &self.calls {
            write!(f, "\n  {}", call.display_from(self.start_ns))?;
        }
        Ok(())
    }
}

/// What was found so far.
struct Findings<'h> {
    history: &'h History,
    start_ns: u64,
    end_ns: u64,
    violations: BTreeMap<(Law, u32), Vec<Violation>>,
    /// How many answers "busy" nothing explains: after a wait was given up, and without.
    after_cancel: u32,
    plain: u32,
    /// How many calls took place on files on which nobody gives up waiting.
    without_cancel: usize,
}

impl<'h> Findings<'h> {
    fn new(history: &'h History) -> Self {
        Self {
            history,
            start_ns: history.start_ns(),
            end_ns: history.end_ns(),
            violations: BTreeMap::new(),
            after_cancel: 0,
            plain: 0,
            without_cancel: 0,
        }
    }

    /// Adds a violation with the calls it is about, unless there are enough of its kind.
    fn add(&mut self, law: Law, file: u32, calls: &[usize], trace: impl FnOnce() -> String) {
        let alike = self.violations.entry((law, file)).or_default();
        if alike.len() == MOST_VIOLATIONS {
            return;
        }
        let mut calls: Vec<Record> = calls
            .iter()
            .map(|&call| self.history.calls[call].clone())
            .collect();
        calls.sort_by_key(|call| call.invoked_ns);
        alike.push(Violation {
            law,
            file,
            trace: trace(),
            calls,
            start_ns: self.start_ns,
        });
    }

    fn has(&self, law: Law, file: u32) -> bool {
        self.violations.contains_key(&(law, file))
    }

    /// A time as violations display it.
    fn us(&self, ns: u64) -> String {
        format!("{} µs", ns.saturating_sub(self.start_ns) / 1_000)
    }

    /// Who made a call, as violations display it.
    fn who(&self, call: usize) -> String {
        let Record { process, task, .. } = self.history.calls[call];
        format!("process {process}, task {task}")
    }

    fn into_violations(self) -> Vec<Violation> {
        let after_cancel = self.plain == 0
            && self.after_cancel >= MANY_AFTER_CANCEL
            && self.without_cancel >= MANY_WITHOUT_CANCEL;
        let mut violations: Vec<Violation> = self.violations.into_values().flatten().collect();
        for violation in &mut violations {
            if after_cancel && violation.law == Law::NoFalseBusy {
                violation.law = Law::AcquiredMeansAcquired;
                violation.trace += "; this happened only after waits had been given up";
            }
        }
        violations
    }
}
