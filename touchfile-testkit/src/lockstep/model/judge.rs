//! Compares answers with the model.

use std::io::ErrorKind;

use touchfile_core::LockMode;

use super::blame::{Blame, Ended, Event, WrongAnswer};
use super::{Expected, Model, State};
use crate::Law;
use crate::lockstep::step::HandleId;
use crate::process::Answer;

impl Model {
    /// Judges the answer to an attempt.
    pub(crate) fn tried(
        &mut self,
        id: HandleId,
        mode: LockMode,
        answer: &Answer,
    ) -> Result<(), WrongAnswer> {
        let expected = self.expect(id, mode);
        match (expected, answer) {
            (Expected::Acquired | Expected::Either, Answer::Acquired) => {
                self.hold(id, mode);
                Ok(())
            }
            (Expected::Busy | Expected::Either, Answer::WouldBlock) => {
                self.ended(id, Ended::Busy);
                Ok(())
            }
            (Expected::Acquired, Answer::WouldBlock) => {
                self.ended(id, Ended::Busy);
                match self.inode_of(id) {
                    Some(inode) => Err(WrongAnswer::FalseBusy(inode)),
                    None => Ok(()),
                }
            }
            (expected, answer) => self.refused_or_wrong(id, mode, expected, answer),
        }
    }

    /// Judges the first poll of a new wait.
    pub(crate) fn started(
        &mut self,
        id: HandleId,
        mode: LockMode,
        answer: &Answer,
    ) -> Result<(), WrongAnswer> {
        let expected = self.expect(id, mode);
        match (expected, answer) {
            (Expected::Refused(_), Answer::Pending) => {
                self.refused_or_wrong(id, mode, expected, answer)
            }
            (_, Answer::Pending) => {
                self.set(id, State::Waiting(mode));
                Ok(())
            }
            (Expected::Acquired | Expected::Either, Answer::Acquired) => {
                self.hold(id, mode);
                Ok(())
            }
            (_, answer) if self.gave_up_a_stale_file(id, answer) => Ok(()),
            (expected, answer) => self.refused_or_wrong(id, mode, expected, answer),
        }
    }

    /// Judges the answer to a later poll.
    pub(crate) fn polled(&mut self, id: HandleId, answer: &Answer) -> Result<(), WrongAnswer> {
        let Some(State::Waiting(mode)) = self.state(id) else {
            return Ok(());
        };
        match (self.expect(id, mode), answer) {
            (_, Answer::Pending) => Ok(()),
            (Expected::Acquired | Expected::Either, Answer::Acquired) => {
                self.hold(id, mode);
                Ok(())
            }
            (_, answer) if self.gave_up_a_stale_file(id, answer) => {
                self.set(id, State::Idle);
                Ok(())
            }
            (expected, answer) => self.refused_or_wrong(id, mode, expected, answer),
        }
    }

    /// Whether a wait ended with the error that is allowed if its path names another file by now.
    fn gave_up_a_stale_file(&self, id: HandleId, answer: &Answer) -> bool {
        let current = self.inode_of(id) == self.files[usize::from(id.file())];
        !current && answer.is_kind(ErrorKind::StaleNetworkFileHandle)
    }

    /// Judges the answer to the question whether a handle is current.
    pub(crate) fn asked_current(&self, id: HandleId, answer: &Answer) -> Result<(), WrongAnswer> {
        let current = self.inode_of(id) == self.files[usize::from(id.file())];
        match (self.claims.identity, current, answer) {
            (true, true, Answer::Yes) | (true, false, Answer::No) => Ok(()),
            (true, true, Answer::No) => breach(
                Law::Identity,
                "the handle calls itself not current, but its path names what it locks",
            ),
            (true, false, Answer::Yes) => breach(
                Law::Identity,
                "the handle calls itself current, but its path does not name what it locks",
            ),
            (false, _, answer) if answer.is_kind(ErrorKind::Unsupported) => Ok(()),
            (false, _, Answer::Yes | Answer::No) => breach(
                Law::Capabilities,
                "`identity` is not claimed, but the question was not refused as unsupported",
            ),
            (_, _, answer) => Err(unexpected(
                "the question whether the handle is current",
                answer,
            )),
        }
    }

    fn refused_or_wrong(
        &mut self,
        id: HandleId,
        mode: LockMode,
        expected: Expected,
        answer: &Answer,
    ) -> Result<(), WrongAnswer> {
        if let Expected::Refused(kind) = expected {
            return self.refused(id, mode, kind, answer);
        }
        match answer {
            Answer::Acquired => Err(self.double_grant(Some(id), self.inode_of(id), mode)),
            answer if answer.is_kind(ErrorKind::Unsupported) => breach(
                Law::Capabilities,
                format!("the {mode} lock was refused, but it is claimed that there is one"),
            ),
            answer => {
                self.remember(id, Event::Failed);
                Err(unexpected("the call", answer))
            }
        }
    }

    fn refused(
        &mut self,
        id: HandleId,
        mode: LockMode,
        kind: ErrorKind,
        answer: &Answer,
    ) -> Result<(), WrongAnswer> {
        let held = matches!(self.state(id), Some(State::Held(_)));
        if answer.is_kind(kind) || (held && answer.is_kind(ErrorKind::InvalidInput)) {
            if !held {
                self.remember(id, Event::Failed);
                self.ended(id, Ended::Failed);
            }
            return Ok(());
        }
        match answer {
            Answer::Failed { .. } | Answer::Panicked(_) | Answer::Unable(_) => Err(unexpected(
                &format!("asking for the {mode} lock, which had to be refused with {kind:?},"),
                answer,
            )),
            answer if kind == ErrorKind::Unsupported => breach(
                Law::Capabilities,
                format!(
                    "{mode} locks are not claimed, but the answer was not Unsupported, it was: {}",
                    answer
                ),
            ),
            answer => breach(
                Law::Exclusion,
                format!(
                    "the handle holds a lock already, and was to refuse another with InvalidInput, \
                     so as not to convert a lock somebody relies on; its answer was: {}",
                    answer
                ),
            ),
        }
    }
}

fn breach(law: Law, what: impl Into<String>) -> Result<(), WrongAnswer> {
    Err(WrongAnswer::Breach(Blame::new(law, what)))
}

/// A failure, or an answer that does not fit the command.
pub(crate) fn unexpected(call: &str, answer: &Answer) -> WrongAnswer {
    let what = format!("{call} came to: {}", answer);
    WrongAnswer::Breach(Blame::new(Law::Errors, what))
}
