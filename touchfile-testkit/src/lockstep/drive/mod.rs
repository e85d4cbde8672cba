//! Plays a schedule with workers, and compares each answer with the model.

mod calls;
mod investigate;
mod lives;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use touchfile_core::Capabilities;

use super::model::{Blame, Busy, Model, State, WrongAnswer};
use super::step::{FILES, HandleId, Step};
use crate::Law;
use crate::fixture::{Fixture, Host};
use crate::process::{Answer, Command, Lost, Slot};

/// How long a wait is polled that must not be granted.
const SHORT_POLL: Duration = Duration::from_millis(2);

/// How long such a wait is polled at the end of a schedule of at most [`FEW`] steps.
///
/// Some waits must be observed for longer, and all schedules would take too long with this.
const LONG_POLL: Duration = Duration::from_millis(80);
const FEW: usize = 12;

/// The pause between two attempts at a lock that a killed process may still hold.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a correct backend may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimits {
    /// To answer.
    pub(crate) answer: Duration,
    /// To grant a lock that is free to a waiter.
    pub(crate) grant: Duration,
    /// Whether waits are polled for [`LONG_POLL`] at the end of a schedule of any length.
    pub(crate) long_polls: bool,
}

/// A law that was found to be broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) blame: Blame,
    /// What happened before, with a line for each step.
    pub(crate) trace: Vec<String>,
    /// Whether the answer of a wait showed it, which may depend on time.
    pub(crate) in_a_wait: bool,
}

/// Plays a schedule from beginning to end.
///
/// Returns what was found, if anything was.
///
/// # Errors
///
/// The suite's own.
pub(crate) fn play(
    host: &Host,
    claims: Capabilities,
    steps: &[Step],
    limits: TimeLimits,
) -> Result<Option<Found>, String> {
    let fixture = host
        .fixture()
        .map_err(|error| format!("no directory for lock files: {error}"))?;
    let mut drive = Drive {
        fixture,
        model: Model::new(claims),
        limits,
        trace: Vec::new(),
        forked: BTreeMap::new(),
        in_a_wait: false,
    };
    let poll = if limits.long_polls || steps.len() <= FEW {
        LONG_POLL
    } else {
        SHORT_POLL
    };
    let played = steps
        .iter()
        .try_for_each(|&step| drive.step(step))
        .and_then(|()| drive.wind_up(poll));
    match played {
        Ok(()) => {
            drive.fixture.close();
            Ok(None)
        }
        Err(Halt::Found(blame)) => Ok(Some(Found {
            blame,
            trace: drive.trace,
            in_a_wait: drive.in_a_wait,
        })),
        Err(Halt::Own(error)) => Err(error),
    }
}

/// Why a schedule ends early.
enum Halt {
    Found(Blame),
    /// The suite itself failed, for this reason.
    Own(String),
}

impl Halt {
    fn found(law: Law, what: impl Into<String>) -> Self {
        Self::Found(Blame::new(law, what))
    }
}

impl From<String> for Halt {
    fn from(error: String) -> Self {
        Self::Own(error)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Own(error.to_string())
    }
}

struct Drive<'h> {
    fixture: Fixture<'h>,
    model: Model,
    limits: TimeLimits,
    trace: Vec<String>,
    /// The forked children that live on. They are killed with their parents.
    forked: BTreeMap<u8, Vec<u32>>,
    /// Whether the last answer is that of a wait.
    in_a_wait: bool,
}

impl Drive<'_> {
    fn step(&mut self, step: Step) -> Result<(), Halt> {
        let acts = step.handle().map(|id| id.process).or(match step {
            Step::Fork { process } | Step::Spawn { process } => Some(process),
            _ => None,
        });
        if acts.is_some_and(|process| self.model.is_stopped(process)) {
            return Ok(());
        }
        match step {
            Step::TryLock { mode, .. } | Step::StartWaiting { mode, .. } => {
                let id = step.handle().expect("it has one");
                self.open(id)?;
                if !matches!(self.model.state(id), Some(State::Waiting(_))) {
                    self.attempt(step, id, mode)?;
                }
            }
            Step::Open { process, handle } => self.open(HandleId { process, handle })?,
            Step::Poll { process, handle } => self.poll(HandleId { process, handle })?,
            Step::Cancel { process, handle } => self.cancel(HandleId { process, handle })?,
            Step::Unlock { process, handle } => self.unlock(HandleId { process, handle })?,
            Step::Drop { process, handle } => self.drop_handle(HandleId { process, handle })?,
            Step::AskCurrent { process, handle } => {
                self.ask_current(HandleId { process, handle })?;
            }
            Step::Kill { process } => self.kill(process),
            Step::Stop { process } => {
                if !self.model.is_stopped(process) {
                    self.fixture.stop(usize::from(process))?;
                    self.model.stop(process);
                    self.record(step, "");
                }
            }
            Step::Continue { process } => {
                if self.model.is_stopped(process) {
                    self.resume(process);
                }
            }
            Step::ForkAndDrop { process, handle } => {
                self.fork_and_drop(HandleId { process, handle })?;
            }
            Step::Fork { process } | Step::Spawn { process } => self.have_a_child(step, process)?,
            Step::Unlink { file } => {
                self.fixture.unlink(&self.path(file))?;
                self.model.unlink(file);
                self.record(step, "");
            }
            Step::Replace { file } => {
                self.fixture.replace(&self.path(file))?;
                self.model.replace(file);
                self.record(step, "");
            }
            Step::HardLink { file } => self.hard_link(file)?,
        }
        Ok(())
    }

    /// Releases everything after the last step. Every wait must end.
    fn wind_up(&mut self, poll: Duration) -> Result<(), Halt> {
        for process in self.model.stopped() {
            self.resume(process);
        }
        for file in 0..FILES {
            self.check_held(file)?;
        }
        for id in self.model.handles() {
            self.poll_for(id, poll)?;
        }
        // Each round ends at least one wait, because the waiter that was granted the lock releases it.
        loop {
            for id in self.model.handles() {
                if let Some(State::Held(_)) = self.model.state(id) {
                    self.unlock(id)?;
                }
            }
            let handles = self.model.handles();
            let waiting = handles
                .into_iter()
                .find(|&id| matches!(self.model.state(id), Some(State::Waiting(_))));
            match waiting {
                Some(id) => self.poll(id)?,
                None => break,
            }
        }
        for file in 0..FILES {
            if self.model.names_a_file(file) {
                self.check_free(file)?;
            }
        }
        Ok(())
    }

    /// Sends a command and receives the answer. If the worker is lost, `law` is broken.
    fn ask(&mut self, id: HandleId, law: Law, command: &Command) -> Result<Answer, Halt> {
        let extra = match command {
            Command::Poll(_, time) => *time,
            _ => Duration::ZERO,
        };
        self.in_a_wait = matches!(command, Command::Poll(..));
        let within = self.limits.answer + extra;
        let worker = self.fixture.process(usize::from(id.process))?;
        let lost = match worker.ask(command, within) {
            Ok(answer) => return Ok(answer),
            Err(lost) => lost,
        };
        self.trace
            .push(format!("process {} {command}: {lost}", id.process));
        Err(match lost {
            Lost::Silent(time) => Halt::found(
                law,
                format!("the call blocks its thread: no answer within {time:?}"),
            ),
            Lost::Ended => Halt::found(Law::Errors, "the call ended its process"),
        })
    }

    fn halt(&self, wrong: WrongAnswer) -> Halt {
        match wrong {
            WrongAnswer::Breach(blame) => Halt::Found(blame),
            WrongAnswer::FalseBusy(inode) => {
                Halt::Found(self.model.blame_busy(inode, Busy::ForAMoment))
            }
        }
    }

    fn record(&mut self, step: Step, came_to: &str) {
        self.trace.push(match came_to {
            "" | "done" => step.to_string(),
            came_to => format!("{step}: {came_to}"),
        });
    }

    fn path(&self, file: u8) -> PathBuf {
        self.fixture
            .path(["a.lock", "b.lock"][usize::from(file % FILES)])
    }
}

fn slot(id: HandleId) -> Slot {
    Slot::from(id.handle)
}
