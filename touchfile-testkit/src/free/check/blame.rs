//! Which law is broken when a free lock is found held: is it the answer, or the release before?

use touchfile_core::LockMode;

use super::claims::{Claims, End, Hold};
use crate::Law;

/// What the history shows of the ways to release.
pub(super) struct Releases<'c> {
    claims: &'c Claims,
    /// Ways after which somebody else did get the lock, at least once.
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
            // By another handle: the same one would have to be used again for that.
            let next = conflicting.get(conflicting.partition_point(|at| *at <= hold.may_end_ns));
            if next.is_some_and(|at_ns| *at_ns < hold.reused_ns) {
                proven.push(hold.end);
            }
        }
        Self { claims, proven }
    }

    /// The law that is broken when a lock that is free at `at_ns` is not to be had in `mode`, and
    /// the last hold that could have to do with it.
    ///
    /// If a conflicting hold ended before in a way after which nobody else got the lock, in all
    /// of the history, then it is the release that failed; else it is the law that the caller
    /// suspects. The violation is certain in either case, the name of the law is the likelier one.
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

    /// Whether a conflicting wait was given up before `at_ns`: it may have left something behind
    /// that took the lock later.
    pub(super) fn was_given_up(&self, mode: LockMode, at_ns: u64) -> bool {
        self.claims.holds.iter().any(|hold| {
            hold.end == End::GivenUp && hold.mode.conflicts_with(mode) && hold.over_ns <= at_ns
        })
    }

    /// Whether there is a way to release after which nobody else got the lock.
    pub(super) fn are_in_doubt(&self) -> bool {
        self.claims
            .holds
            .iter()
            .any(|hold| self.never_released(hold))
    }

    /// Whether this was the last that was heard of the lock: its process was killed before it could
    /// say whether it had it, and nobody got it since.
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
