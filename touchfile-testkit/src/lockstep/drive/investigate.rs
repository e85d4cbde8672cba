//! Checks at the end of a schedule, and the cause if a lock is busy though no handle holds it.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use touchfile_core::{LockMode, OpenOptions};

use super::{Drive, Halt, PAUSE, slot};
use crate::Law;
use crate::lockstep::model::{Blame, Busy, Inode, unexpected};
use crate::lockstep::step::HandleId;
use crate::process::{Answer, Command, Slot};

/// The slot of the handle that checks whether a lock is free.
const PROBE: Slot = 99;

/// The slot of the handles that look for the reason why a lock is busy.
const FRESH: Slot = 98;

/// How many attempts are made, and how many of them without a pause.
const TRIES: u32 = 40;
const AT_ONCE: u32 = 3;

impl Drive<'_> {
    /// Checks that a held lock is still busy for other handles.
    pub(super) fn check_held(&mut self, file: u8) -> Result<(), Halt> {
        let inode = self.model.inode_at(file);
        if !inode.is_some_and(|inode| self.model.is_held(inode)) {
            return Ok(());
        }
        let id = HandleId {
            process: 0,
            handle: 0,
        };
        let (path, mode) = (self.path(file), LockMode::Exclusive);
        let open = Command::Open(PROBE, path, OpenOptions::new());
        let opened = self.ask(id, Law::Errors, &open)?;
        self.expect_done(Law::Errors, "opening", &opened)?;
        let answer = self.ask(id, Law::Liveness, &Command::TryLock(PROBE, mode))?;
        let line = format!(
            "at the end, process 0 tries to take the {mode} lock of file {file} with a new handle"
        );
        self.trace.push(format!("{line}: {answer}"));
        match answer {
            Answer::WouldBlock => {
                self.trace.pop();
                let answer = self.ask(id, Law::Release, &Command::Drop(PROBE))?;
                self.expect_done(Law::Release, "dropping the handle", &answer)
            }
            Answer::Acquired => Err(self.halt(self.model.double_grant(None, inode, mode))),
            answer => Err(self.halt(unexpected("the attempt", &answer))),
        }
    }

    /// Checks that a lock which is neither held nor waited for is free.
    pub(super) fn check_free(&mut self, file: u8) -> Result<(), Halt> {
        let id = HandleId {
            process: 0,
            handle: 0,
        };
        let path = self.path(file);
        let mode = LockMode::Exclusive;
        self.ask(
            id,
            Law::Errors,
            &Command::Open(PROBE, path, OpenOptions::new()),
        )?;
        let attempt = Command::TryLock(PROBE, mode);
        let mut answer = self.ask(id, Law::Liveness, &attempt)?;
        while answer == Answer::WouldBlock && self.fixture.killed_may_hold() {
            thread::sleep(PAUSE);
            answer = self.ask(id, Law::Liveness, &attempt)?;
        }
        let line = format!(
            "at the end, with every lock released, process 0 tries to take the {mode} lock of file {file}"
        );
        self.trace.push(format!("{line}: {answer}"));
        let inode = self.model.inode_at(file);
        match (answer, inode) {
            (Answer::Acquired, _) => {
                self.trace.pop();
                let answer = self.ask(id, Law::Release, &Command::Drop(PROBE))?;
                self.expect_done(Law::Release, "dropping the handle", &answer)
            }
            (Answer::WouldBlock, Some(inode)) => {
                let busy = self.how_long_busy(id, PROBE, mode)?;
                Err(Halt::Found(self.why_busy(id.process, mode, inode, busy)?))
            }
            (answer, _) => Err(self.halt(unexpected("the attempt", &answer))),
        }
    }

    /// The finding that the attempt of a handle found a lock busy though no handle holds it.
    pub(super) fn investigate(
        &mut self,
        id: HandleId,
        mode: LockMode,
        inode: Inode,
    ) -> Result<Halt, Halt> {
        // Beside readers nobody can hold a lock that keeps out another.
        if mode == LockMode::Shared && self.model.is_held(inode) {
            return Ok(Halt::found(
                Law::NoFalseBusy,
                "it said \"busy\", but only readers hold the lock",
            ));
        }
        let busy = self.how_long_busy(id, slot(id), mode)?;
        if busy == Busy::Stays
            && self.can_be_had(id.process, mode, inode)?
            && self.ask(id, Law::Liveness, &Command::TryLock(slot(id), mode))? == Answer::WouldBlock
        {
            return Ok(Halt::found(
                Law::NoFalseBusy,
                "it said \"busy\" again and again, but a new handle gets the lock",
            ));
        }
        Ok(Halt::Found(self.why_busy(id.process, mode, inode, busy)?))
    }

    /// Which law is broken by a lock that a process finds busy though no handle holds it.
    fn why_busy(
        &mut self,
        process: u8,
        mode: LockMode,
        inode: Inode,
        busy: Busy,
    ) -> Result<Blame, Halt> {
        if busy != Busy::Stays || self.model.file_of(inode).is_none() {
            return Ok(self.model.blame_busy(inode, busy));
        }
        let new = self.fixture.path("never-locked.lock");
        if !self.new_handle_gets(process, new, mode)? {
            return Ok(Blame::new(
                Law::NoFalseBusy,
                "it said \"busy\", and says so of the lock of a new file, too",
            ));
        }
        for id in self.model.idle_on(inode) {
            if let Some(blame) = self.blame_if_it_has(id, process, inode)? {
                return Ok(blame);
            }
        }
        Ok(self.model.blame_busy(inode, busy))
    }

    /// Drops an idle handle, and returns which law it has broken if the lock is free from then on. The
    /// schedule cannot go on afterwards.
    pub(super) fn blame_if_it_has(
        &mut self,
        id: HandleId,
        process: u8,
        inode: Inode,
    ) -> Result<Option<Blame>, Halt> {
        let mode = LockMode::Exclusive;
        if self.can_be_had(process, mode, inode)? {
            return Ok(None);
        }
        self.ask(id, Law::Release, &Command::Drop(slot(id)))?;
        Ok(if self.can_be_had(process, mode, inode)? {
            self.model.blame_keeper(id)
        } else {
            None
        })
    }

    /// Whether a new handle of a process gets the lock of a file, which it gives back.
    fn can_be_had(&mut self, process: u8, mode: LockMode, inode: Inode) -> Result<bool, Halt> {
        match self.model.file_of(inode) {
            Some(file) => self.new_handle_gets(process, self.path(file), mode),
            None => Ok(false), // the lock of a file without a name cannot be checked
        }
    }

    fn new_handle_gets(
        &mut self,
        process: u8,
        path: PathBuf,
        mode: LockMode,
    ) -> Result<bool, Halt> {
        let id = HandleId { process, handle: 0 };
        let open = Command::Open(FRESH, path, OpenOptions::new());
        self.ask(id, Law::Errors, &open)?;
        let answer = self.ask(id, Law::Liveness, &Command::TryLock(FRESH, mode))?;
        self.ask(id, Law::Release, &Command::Drop(FRESH))?;
        Ok(answer == Answer::Acquired)
    }

    /// Tries until the lock is free, or for some time.
    fn how_long_busy(&mut self, id: HandleId, slot: Slot, mode: LockMode) -> Result<Busy, Halt> {
        for attempt in 0..TRIES {
            if self.ask(id, Law::Liveness, &Command::TryLock(slot, mode))? == Answer::Acquired {
                return Ok(if attempt < AT_ONCE {
                    Busy::ForAMoment
                } else {
                    Busy::ForAWhile
                });
            }
            if attempt >= AT_ONCE {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(Busy::Stays)
    }

    /// The finding that a wait does not end: either the lock is not free, or the waiter is not woken.
    pub(super) fn blame_wait(&mut self, id: HandleId, mode: LockMode) -> Result<Halt, Halt> {
        let late = format!(
            "the {mode} lock is free, but the wait does not end within {:?}",
            self.limits.grant
        );
        let Some(inode) = self.model.inode_of(id) else {
            return Ok(Halt::found(Law::Liveness, late));
        };
        let Some(file) = self.model.file_of(inode) else {
            return Ok(Halt::found(Law::Liveness, late)); // the lock of a file without a name cannot be checked
        };
        let path = self.path(file);
        self.ask(
            id,
            Law::Errors,
            &Command::Open(PROBE, path, OpenOptions::new()),
        )?;
        if self.how_long_busy(id, PROBE, mode)? != Busy::Stays {
            return Ok(Halt::found(Law::Liveness, late));
        }
        Ok(Halt::Found(self.why_busy(
            id.process,
            mode,
            inode,
            Busy::Stays,
        )?))
    }
}
