//! The log that a worker writes in a race: one line before each call and one line after it.
//!
//! Each line is written and flushed by itself. So after a SIGKILL the log ends early, with a call that
//! has no answer.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use touchfile_core::LockMode;

pub(crate) use crate::system::now_ns;

/// A call of a task on its handle, or what it does while it holds the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    /// Drops the handle.
    Drop,
    /// Reads the witness, and writes the next number.
    Increment,
    /// Waits for the lock.
    Lock(LockMode, WaitLimit),
    /// Reads the witness twice.
    ReadTwice,
    /// Opens the file.
    Open,
    /// Makes one attempt.
    Try(LockMode),
    /// Unlocks.
    Unlock,
}

/// How long a waiter waits at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitLimit {
    /// It waits until it has the lock.
    Unlimited,
    /// It gives up after this many polls.
    Polls(u32),
    /// It gives up after this time.
    Timeout(Duration),
}

/// The outcome of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The lock is held.
    Acquired,
    /// The wait was dropped after its number of polls. Nothing is held.
    Cancelled,
    /// The witness was read twice under a shared lock, and its number had changed.
    Changed(u64, u64),
    /// The call has succeeded.
    Done,
    /// The call has failed with this error.
    Failed(String),
    /// The witness had this number. After [`Call::Increment`] it has the next one.
    Found(u64),
    /// The wait was dropped after its time. Nothing is held.
    TimedOut,
    /// A conflicting lock is held by another handle. Nothing is held.
    WouldBlock,
}

/// One line of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    pub(crate) at_ns: u64,
    pub(crate) process: u32,
    pub(crate) task: u32,
    pub(crate) file: u32,
    pub(crate) what: What,
}

/// The event in a line of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum What {
    /// A call begins.
    Invoked(Call),
    /// The last call of this task has ended.
    Answered(Outcome),
}

/// Writes the log of one process, for all its tasks.
pub(super) struct Recorder<W> {
    process: u32,
    log: RefCell<(W, u64)>,
}

impl<W: Write> Recorder<W> {
    pub(super) fn new(process: u32, log: W) -> Self {
        Self {
            process,
            log: RefCell::new((log, 0)),
        }
    }

    /// Writes one line, with the time at which this was called.
    ///
    /// All times of a process differ, so that its lines are in the order of their times. If the clock
    /// shows the same time twice, the second line has the next nanosecond. Writing the line takes
    /// longer than that, so a call still begins after its time in the log.
    pub(super) fn write(&self, task: u32, file: u32, what: What) -> io::Result<()> {
        let (log, last_ns) = &mut *self.log.borrow_mut();
        let at_ns = now_ns().max(*last_ns + 1);
        *last_ns = at_ns;
        let line = Line {
            at_ns,
            process: self.process,
            task,
            file,
            what,
        };
        log.write_all(format!("{line}\n").as_bytes())?;
        log.flush()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at_ns,
            process,
            task,
            file,
            what,
        } = self;
        write!(f, "{at_ns} {process} {task} {file} ")?;
        match what {
            What::Invoked(call) => write!(f, "> {call}"),
            What::Answered(outcome) => write!(f, "< {outcome}"),
        }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let bad = || format!("not a line of a log: {line:?}");
        let mut words = line.splitn(6, ' ');
        let mut next = || words.next().ok_or_else(bad);
        let at_ns = next()?.parse().map_err(|_| bad())?;
        let mut number = || next()?.parse().map_err(|_| bad());
        let (process, task, file) = (number()?, number()?, number()?);
        let what = match (next()?, next()?) {
            (">", call) => What::Invoked(parse_call(call).ok_or_else(bad)?),
            ("<", outcome) => What::Answered(parse_outcome(outcome).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        Ok(Self {
            at_ns,
            process,
            task,
            file,
            what,
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Increment => f.write_str("increment"),
            Self::Lock(mode, WaitLimit::Unlimited) => write!(f, "lock {mode}"),
            Self::Lock(mode, WaitLimit::Polls(polls)) => write!(f, "lock {mode} polls {polls}"),
            Self::Lock(mode, WaitLimit::Timeout(timeout)) => {
                write!(f, "lock {mode} timeout_us {}", timeout.as_micros())
            }
            Self::ReadTwice => f.write_str("read-twice"),
            Self::Open => f.write_str("open"),
            Self::Try(mode) => write!(f, "try {mode}"),
            Self::Unlock => f.write_str("unlock"),
        }
    }
}

fn parse_call(text: &str) -> Option<Call> {
    let words: Vec<&str> = text.split(' ').collect();
    Some(match words[..] {
        ["drop"] => Call::Drop,
        ["increment"] => Call::Increment,
        ["lock", mode] => Call::Lock(mode.parse().ok()?, WaitLimit::Unlimited),
        ["lock", mode, "polls", polls] => {
            Call::Lock(mode.parse().ok()?, WaitLimit::Polls(polls.parse().ok()?))
        }
        ["lock", mode, "timeout_us", us] => Call::Lock(
            mode.parse().ok()?,
            WaitLimit::Timeout(Duration::from_micros(us.parse().ok()?)),
        ),
        ["read-twice"] => Call::ReadTwice,
        ["open"] => Call::Open,
        ["try", mode] => Call::Try(mode.parse().ok()?),
        ["unlock"] => Call::Unlock,
        _ => return None,
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired => f.write_str("acquired"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Changed(first, second) => write!(f, "changed {first} {second}"),
            Self::Done => f.write_str("done"),
            Self::Failed(error) => write!(f, "failed {}", error.replace(['\n', '\r'], " ")),
            Self::Found(number) => write!(f, "found {number}"),
            Self::TimedOut => f.write_str("timed-out"),
            Self::WouldBlock => f.write_str("would-block"),
        }
    }
}

fn parse_outcome(text: &str) -> Option<Outcome> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match word {
        "acquired" => Outcome::Acquired,
        "cancelled" => Outcome::Cancelled,
        "changed" => {
            let (first, second) = rest.split_once(' ')?;
            Outcome::Changed(first.parse().ok()?, second.parse().ok()?)
        }
        "done" => Outcome::Done,
        "failed" => Outcome::Failed(rest.to_owned()),
        "found" => Outcome::Found(rest.parse().ok()?),
        "timed-out" => Outcome::TimedOut,
        "would-block" => Outcome::WouldBlock,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Exclusive, Shared};

    #[test]
    fn every_line_can_be_read_back() {
        let calls = [
            Call::Drop,
            Call::Increment,
            Call::Lock(Exclusive, WaitLimit::Unlimited),
            Call::Lock(Shared, WaitLimit::Polls(3)),
            Call::Lock(Shared, WaitLimit::Timeout(Duration::from_micros(1_500))),
            Call::ReadTwice,
            Call::Open,
            Call::Try(Shared),
            Call::Unlock,
        ];
        let outcomes = [
            Outcome::Acquired,
            Outcome::Cancelled,
            Outcome::Changed(3, 4),
            Outcome::Done,
            Outcome::Failed("no locks available (os error 37)".into()),
            Outcome::Found(12),
            Outcome::TimedOut,
            Outcome::WouldBlock,
        ];
        let invoked = calls.into_iter().map(What::Invoked);
        for what in invoked.chain(outcomes.into_iter().map(What::Answered)) {
            let line = Line {
                at_ns: 12_345,
                process: 1,
                task: 2,
                file: 3,
                what,
            };
            assert_eq!(line.to_string().parse(), Ok(line));
        }
    }

    #[test]
    fn a_cut_line_is_refused() {
        for line in ["", "12", "12 1 2 3 >", "12 1 2 3 > loc", "12 1 2 3 < found"] {
            assert!(line.parse::<Line>().is_err(), "{line}");
        }
    }

    #[test]
    fn the_times_of_a_process_are_all_different() {
        let mut log = Vec::new();
        let recorder = Recorder::new(0, &mut log);
        for _ in 0..1_000 {
            recorder.write(0, 0, What::Answered(Outcome::Done)).unwrap();
        }
        let text = String::from_utf8(log).unwrap();
        let times: Vec<u64> = text
            .lines()
            .map(|line| line.parse::<Line>().unwrap().at_ns)
            .collect();
        assert!(times.is_sorted_by(|a, b| a < b));
    }
}
