//! Judges the history of a race: which laws were certainly broken, whatever the order of the calls was.
//!
//! # What can be known
//!
//! The log has, for each call, a time before it and a time after it. The call took effect at some
//! moment in between. A history is right if such moments *can* be chosen so that the calls, in that
//! order, obey the sequential rules of a lock. This is linearizability (Herlihy and Wing,
//! "Linearizability: a correctness condition for concurrent objects", 1990). A violation is reported
//! only if there is no such choice. So, for each acquisition:
//!
//! - The lock was *surely held* from the answer "acquired" until the release was asked for, or until
//!   just before the process was killed.
//! - It was *possibly held* from the call until the answer of the release, or until the end of the
//!   process was reported, plus a [grace](History::death_grace), since a network file system may
//!   release the locks of a killed process later.
//! - During a wait that was given up, failed or was never answered, the lock was *possibly held* all
//!   the time: it may have been granted at the last moment and released at once.
//!
//! # The rules
//!
//! - [`overlap`]: two surely held intervals that conflict break exclusion. If no process was killed
//!   during an acquisition, this rule is exact: without such a conflict the acquisitions can be put in
//!   order, each from its answer until its release is asked for. The rule also finds each "busy" that
//!   no single acquisition can explain.
//! - [`order`]: a search over orders finds out whether all "busy" answers can be explained *together*
//!   (Lowe, "Testing for linearizability", 2017). This rule is exact, too.
//! - [`waiting`]: each wait ends soon after the lock is free, no call fails, and no process hangs.
//! - [`witnesses`]: no update of a witness was lost. This rule uses no times.

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

/// How many violations of each law on each file are reported.
const MOST_VIOLATIONS: usize = 3;

/// Cancelled waits are the cause of "busy" answers that nothing explains if there are at least this many,
/// all of them came after cancelled waits, and at least this many calls on files without cancelled waits
/// had right answers.
const MANY_AFTER_CANCEL: u32 = 5;
const MANY_WITHOUT_CANCEL: usize = 200;

/// A violation of a law, which is certain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    /// The law that was broken.
    pub(crate) law: Law,
    /// The number of the lock file.
    pub(crate) file: u32,
    /// What happened, in a sentence. Its times count from the first call of the race.
    pub(crate) trace: String,
    /// The calls that show it, in the order in which they were made.
    pub(crate) calls: Vec<Record>,
    start_ns: u64,
}

/// The violations in a history. For a correct backend there are none.
///
/// These are the first three violations of each law on each file.
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

/// The findings so far.
struct Findings<'h> {
    history: &'h History,
    start_ns: u64,
    end_ns: u64,
    violations: BTreeMap<(Law, u32), Vec<Violation>>,
    /// How many answers "busy" nothing explains: after a conflicting wait was given up, and otherwise.
    after_cancel: u32,
    plain: u32,
    /// The number of acquisitions on files on which no wait was given up.
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

    /// Adds a violation with the calls that show it, unless there are enough of its kind.
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

    /// A time in the form of traces.
    fn us(&self, ns: u64) -> String {
        format!("{} µs", ns.saturating_sub(self.start_ns) / 1_000)
    }

    /// The process and task that made a call, in the form of traces.
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
