//! Which law is broken when a free lock is found held: the answer or the release before may be wrong.

use touchfile_core::LockMode;

use super::claims::{Claims, End, Hold};
use crate::Law;

/// What the history shows about the ways to release.
pub(super) struct Releases<'c> {
    claims: &'c Claims,
    /// The ways after which another handle got the lock, at least once.
    proven: Vec<End>,
}

impl<'c> Releases<'c> {
    pub(super) fn new(claims: &'c Claims) -> Self {
        let acquired = |only: Option<LockMode>| {
            let holds = claims.holds.iter();
            let mut times: Vec<u64> = holds
                .filter(|hold| only.is_none_or(|mode| mode == hold.mode))
                .filter_map(|hold| hold.acquired_ns)
                .collect();
            times.sort_unstable();
            times
        };
        let (all, exclusive) = (acquired(None), acquired(Some(LockMode::Exclusive)));
        let mut proven = Vec::new();
        for hold in claims.holds.iter().filter(|hold| hold.sure().is_some()) {
            if proven.contains(&hold.end) {
                continue;
            }
            let conflicting = match hold.mode {
                LockMode::Exclusive => &all,
                LockMode::Shared => &exclusive,
            };
            // Before the handle that held the lock was used again, another handle must have got it.
            let next = conflicting.get(conflicting.partition_point(|at| *at <= hold.may_end_ns));
            if next.is_some_and(|at_ns| *at_ns < hold.reused_ns) {
                proven.push(hold.end);
            }
        }
        Self { claims, proven }
    }

    /// The law that is broken when a lock that is free at `at_ns` cannot be taken in `mode`, and the
    /// last hold that may be the cause.
    ///
    /// If a conflicting hold has ended in a way after which no other handle ever got the lock, the
    /// release has failed. Otherwise it is the law that the caller suspects. The violation is certain
    /// in both cases, the law is the more likely one.
    pub(super) fn blame(
        &self,
        mode: LockMode,
        at_ns: u64,
        suspect: Law,
    ) -> (Law, Option<&'c Hold>) {
        let before = |hold: &&Hold| hold.mode.conflicts_with(mode) && hold.over_ns <= at_ns;
        let holds = || self.claims.holds.iter().filter(before);
        let kept = holds()
            .filter(|hold| self.never_released(hold) || self.died_with_it(hold))
            .max_by_key(|hold| hold.over_ns);
        match kept {
            Some(_) => (Law::Release, kept),
            None => (suspect, holds().max_by_key(|hold| hold.over_ns)),
        }
    }

    /// Whether a conflicting wait was given up before `at_ns`. It may have left something behind that
    /// took the lock later.
    pub(super) fn was_given_up(&self, mode: LockMode, at_ns: u64) -> bool {
        self.claims.holds.iter().any(|hold| {
            hold.end == End::GivenUp && hold.mode.conflicts_with(mode) && hold.over_ns <= at_ns
        })
    }

    /// Whether there is a way to release after which no other handle got the lock.
    pub(super) fn are_in_doubt(&self) -> bool {
        self.claims
            .holds
            .iter()
            .any(|hold| self.never_released(hold))
    }

    /// Whether the process was killed before it could answer whether it had the lock, and no other
    /// handle got the lock since.
    fn died_with_it(&self, hold: &Hold) -> bool {
        let later = |next: &Hold| {
            next.mode.conflicts_with(hold.mode) && next.acquired_ns > Some(hold.may_end_ns)
        };
        hold.end == End::Killed
            && hold.acquired_ns.is_none()
            && !self.claims.holds.iter().any(later)
    }

    fn never_released(&self, hold: &Hold) -> bool {
        hold.sure().is_some() && hold.end != End::Open && !self.proven.contains(&hold.end)
    }
}
