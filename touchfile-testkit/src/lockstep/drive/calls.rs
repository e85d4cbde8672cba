//! The steps that call the backend.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use touchfile_core::{LockMode, OpenOptions};

use super::{Drive, Halt, PAUSE, SHORT_POLL, slot};
use crate::Law;
use crate::countdown::Countdown;
use crate::lockstep::model::{State, WrongAnswer, unexpected};
use crate::lockstep::step::{HandleId, Step};
use crate::process::{Answer, Command};

impl Drive<'_> {
    /// Opens a handle, if it is not open.
    pub(super) fn open(&mut self, id: HandleId) -> Result<(), Halt> {
        if self.model.state(id).is_some() {
            return Ok(());
        }
        let path = self.path(id.file());
        let answer = self.ask(
            id,
            Law::Errors,
            &Command::Open(slot(id), path, OpenOptions::new()),
        )?;
        let HandleId { process, handle } = id;
        self.record(Step::Open { process, handle }, &answer.to_string());
        if answer != Answer::Done {
            return Err(self.halt(unexpected("opening", &answer)));
        }
        self.model.opened(id);
        Ok(())
    }

    pub(super) fn attempt(&mut self, step: Step, id: HandleId, mode: LockMode) -> Result<(), Halt> {
        let waits = matches!(step, Step::StartWaiting { .. });
        let (command, law) = if waits {
            (Command::Start(slot(id), mode), Law::CancelSafety)
        } else {
            (Command::TryLock(slot(id), mode), Law::Liveness)
        };
        let (answer, judged) = loop {
            let mut answer = self.ask(id, law, &command)?;
            if waits && answer == Answer::Pending && self.model.must_refuse(id, mode) {
                answer = self.poll_until_refused(id)?;
            }
            let judged = if waits {
                self.model.started(id, mode, &answer)
            } else {
                self.model.tried(id, mode, &answer)
            };
            if !matches!(judged, Err(WrongAnswer::FalseBusy(_))) || !self.fixture.killed_may_hold()
            {
                break (answer, judged);
            }
            thread::sleep(PAUSE);
        };
        self.record(step, &answer.to_string());
        match judged {
            Ok(()) => Ok(()),
            Err(WrongAnswer::FalseBusy(inode)) => Err(self.investigate(id, mode, inode)?),
            Err(wrong) => Err(self
                .why_refused(id, &answer)?
                .unwrap_or_else(|| self.halt(wrong))),
        }
    }

    /// The finding that an idle handle refuses a lock because it has one.
    fn why_refused(&mut self, id: HandleId, answer: &Answer) -> Result<Option<Halt>, Halt> {
        let idle = self.model.state(id) == Some(State::Idle);
        match self.model.inode_of(id) {
            Some(inode) if idle && answer.is_kind(ErrorKind::InvalidInput) => {
                let blame = self.blame_if_it_has(id, id.process, inode)?;
                Ok(blame.map(Halt::Found))
            }
            _ => Ok(None),
        }
    }

    /// Polls a wait until it is refused. A wait that must be refused may be refused at any poll, since
    /// the backend may have to ask a server.
    fn poll_until_refused(&mut self, id: HandleId) -> Result<Answer, Halt> {
        let mut countdown = Countdown::new(self.limits.grant);
        while let Some(slice) = countdown.slice() {
            let poll = Command::Poll(slot(id), slice);
            let answer = self.ask(id, Law::CancelSafety, &poll)?;
            if answer != Answer::Pending {
                return Ok(answer);
            }
        }
        Ok(Answer::Pending)
    }

    /// Polls a wait briefly, or until a waiter gets the lock, if one must get it.
    pub(super) fn poll(&mut self, id: HandleId) -> Result<(), Halt> {
        self.poll_for(id, SHORT_POLL)
    }

    /// Polls a wait for this time, or until a waiter gets the lock, if one must get it.
    pub(super) fn poll_for(&mut self, id: HandleId, time: Duration) -> Result<(), Halt> {
        let Some(State::Waiting(mode)) = self.model.state(id) else {
            return Ok(());
        };
        if self.model.is_stopped(id.process) {
            return Ok(());
        }
        let due = self.model.must_be_granted(id);
        if due.is_empty() {
            return self.poll_once(id, time).map(drop);
        }
        let mut countdown = Countdown::new(self.limits.grant);
        while let Some(slice) = countdown.slice() {
            let time = if due.len() == 1 { slice } else { SHORT_POLL };
            for &waiter in &due {
                if self.poll_once(waiter, time)? {
                    return Ok(());
                }
            }
        }
        self.record_poll(id, "still waiting");
        Err(self.blame_wait(id, mode)?)
    }

    /// Polls a wait for this time, and returns whether it has ended.
    pub(super) fn poll_once(&mut self, id: HandleId, time: Duration) -> Result<bool, Halt> {
        let answer = self.ask(id, Law::CancelSafety, &Command::Poll(slot(id), time))?;
        if answer != Answer::Pending {
            self.record_poll(id, &answer.to_string());
        }
        self.model
            .polled(id, &answer)
            .map_err(|wrong| self.halt(wrong))?;
        Ok(answer != Answer::Pending)
    }

    pub(super) fn cancel(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Waiting(_))) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::CancelSafety, &Command::Cancel(slot(id)))?;
        self.record(Step::Cancel { process, handle }, "");
        self.expect_done(Law::CancelSafety, "giving up a wait", &answer)?;
        self.model.cancelled(id);
        Ok(())
    }

    pub(super) fn unlock(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Held(_) | State::Idle)) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::Release, &Command::Unlock(slot(id)))?;
        self.record(Step::Unlock { process, handle }, "");
        self.expect_done(Law::Release, "unlocking", &answer)?;
        self.model.unlocked(id);
        Ok(())
    }

    pub(super) fn drop_handle(&mut self, id: HandleId) -> Result<(), Halt> {
        if self.model.state(id).is_none() {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::Release, &Command::Drop(slot(id)))?;
        self.record(Step::Drop { process, handle }, "");
        self.expect_done(Law::Release, "dropping the handle", &answer)?;
        self.model.dropped(id);
        Ok(())
    }

    pub(super) fn ask_current(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Held(_) | State::Idle)) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let path = self.path(id.file());
        let answer = self.ask(id, Law::Errors, &Command::IsCurrent(slot(id), path))?;
        self.record(Step::AskCurrent { process, handle }, &answer.to_string());
        self.model
            .asked_current(id, &answer)
            .map_err(|wrong| self.halt(wrong))
    }

    pub(super) fn expect_done(&self, law: Law, call: &str, answer: &Answer) -> Result<(), Halt> {
        match answer {
            Answer::Done => Ok(()),
            Answer::Panicked(message) => {
                Err(Halt::found(law, format!("{call} panicked: {message}")))
            }
            answer => Err(self.halt(unexpected(call, answer))),
        }
    }

    pub(super) fn record_poll(&mut self, id: HandleId, came_to: &str) {
        let HandleId { process, handle } = id;
        self.record(Step::Poll { process, handle }, came_to);
    }
}
