//! The history of a race: the calls of all processes, and the processes that were killed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use super::log::{Call, Line, Outcome, What};

/// How long a killed process may always hold its lock after its end was reported.
const DEATH_GRACE_NS: u64 = 250_000_000;

/// A call, as its process logged it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) process: u32,
    pub(crate) task: u32,
    pub(crate) file: u32,
    pub(crate) call: Call,
    pub(crate) invoked_ns: u64,
    /// The time and the outcome of the answer; nothing if the log ends before.
    pub(crate) answer: Option<(u64, Outcome)>,
}

/// The death of a process that was killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Death {
    /// The time just before it was killed.
    pub(crate) invoked_ns: u64,
    /// The time just after waitpid(2) reported its end.
    pub(crate) reaped_ns: u64,
    /// Whether it was killed because it did not end in time, and not as part of the race.
    pub(crate) overdue: bool,
}

/// The history of a race.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(super) calls: Vec<Record>,
    pub(super) deaths: BTreeMap<u32, Death>,
    pub(super) finals: Option<Vec<u64>>,
    pub(super) patience: Option<Duration>,
    pub(super) death_grace: Duration,
}

impl History {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets how long a lock may be free while a process waits for it.
    pub(crate) fn patience(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// Sets how long a killed process may hold its locks after its end was reported.
    pub(crate) fn death_grace(&mut self, grace: Duration) {
        self.death_grace = grace;
    }

    pub(super) fn death_grace_ns(&self) -> u64 {
        let grace = u64::try_from(self.death_grace.as_nanos()).unwrap_or(u64::MAX);
        grace.max(DEATH_GRACE_NS)
    }

    /// If a lock is free for this time and a waiter does not get it, the waiter is not just slow.
    pub(super) fn soon_ns(&self) -> u64 {
        const LEAST: Duration = Duration::from_secs(2);
        let soon = self.patience.map_or(LEAST, |patience| patience.max(LEAST));
        u64::try_from(soon.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Adds the log of a process. Its last line may be cut, if the process was killed.
    ///
    /// # Errors
    ///
    /// A message about a line that is not one of a log.
    pub(crate) fn add_log(&mut self, log: &str) -> Result<(), String> {
        let mut pending = HashMap::new();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        for line in whole.lines() {
            let Line {
                at_ns,
                process,
                task,
                file,
                what,
            } = line.parse()?;
            match what {
                What::Invoked(call) => {
                    pending.insert((process, task), self.calls.len());
                    self.calls.push(Record {
                        process,
                        task,
                        file,
                        call,
                        invoked_ns: at_ns,
                        answer: None,
                    });
                }
                What::Answered(outcome) => {
                    let call = pending
                        .remove(&(process, task))
                        .ok_or_else(|| format!("an answer to no call: {line:?}"))?;
                    self.calls[call].answer = Some((at_ns, outcome));
                }
            }
        }
        Ok(())
    }

    /// Adds that a process was killed as part of the race, between these two times ([`now_ns`]).
    ///
    /// [`now_ns`]: super::now_ns
    pub(crate) fn killed(&mut self, process: u32, invoked_ns: u64, reaped_ns: u64) {
        self.ended(process, invoked_ns, reaped_ns, false);
    }

    /// Adds that a process was killed between these two times, because it had not ended long after
    /// the duration of the plan. One of its calls has not returned.
    pub(crate) fn overdue(&mut self, process: u32, invoked_ns: u64, reaped_ns: u64) {
        self.ended(process, invoked_ns, reaped_ns, true);
    }

    /// Adds the numbers of the witnesses after the race, if they were used.
    pub(crate) fn witnesses(&mut self, finals: Vec<u64>) {
        self.finals = Some(finals);
    }

    /// The number of calls.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    fn ended(&mut self, process: u32, invoked_ns: u64, reaped_ns: u64, overdue: bool) {
        let death = Death {
            invoked_ns,
            reaped_ns,
            overdue,
        };
        self.deaths.insert(process, death);
    }

    /// The time from which the times in traces count.
    pub(super) fn start_ns(&self) -> u64 {
        let times = self.calls.iter().map(|record| record.invoked_ns);
        times.min().unwrap_or(0)
    }

    /// The last time in the history.
    pub(super) fn end_ns(&self) -> u64 {
        let answers = self.calls.iter().filter_map(Record::answered_ns);
        let calls = self.calls.iter().map(|record| record.invoked_ns);
        answers.chain(calls).max().unwrap_or(0)
    }
}

impl Record {
    pub(super) fn answered_ns(&self) -> Option<u64> {
        self.answer.as_ref().map(|(at_ns, _)| *at_ns)
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.answer.as_ref().map(|(_, outcome)| outcome)
    }

    /// The call as a line of a trace whose times count from `start_ns`.
    pub(super) fn display_from(&self, start_ns: u64) -> impl fmt::Display {
        let us = |ns: u64| ns.saturating_sub(start_ns) / 1_000;
        let Self {
            process,
            task,
            file,
            call,
            ..
        } = self;
        let begun = us(self.invoked_ns);
        match &self.answer {
            Some((at_ns, outcome)) => format!(
                "file {file}, process {process}, task {task}: {call}, from {begun} to {} µs: {outcome}",
                us(*at_ns)
            ),
            None => format!(
                "file {file}, process {process}, task {task}: {call}, from {begun} µs, never answered"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_ends_early_has_a_call_without_an_answer() {
        let mut history = History::new();
        let log = "10 1 0 0 > try exclusive\n11 1 1 0 > open\n12 1 0 0 < acquired\n13 1 1 0 < do";
        history.add_log(log).unwrap();
        assert_eq!(history.len(), 2);
        assert_eq!(history.calls[0].answer, Some((12, Outcome::Acquired)));
        assert_eq!(history.calls[1].answer, None);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert!(History::new().add_log("hello\n").is_err());
        assert!(History::new().add_log("12 1 0 0 < acquired\n").is_err());
        assert!(History::new().add_log("").is_ok());
    }
}
