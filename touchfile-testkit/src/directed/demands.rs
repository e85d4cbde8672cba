//! Calls that must have a certain answer, and the law that is broken by any other.

use touchfile_core::LockMode::{self, Shared};

use super::driver::{Driver, ProcessNumber};
use crate::Law;
use crate::case::Undone;
use crate::process::{Answer, Command, Slot};

impl Driver<'_> {
    /// An attempt that must succeed, for the reason given.
    pub(crate) fn must_acquire(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
        why: &str,
    ) -> Result<(), Undone> {
        match self.try_free(process, slot, mode)? {
            Answer::Acquired => Ok(()),
            Answer::WouldBlock => {
                let law = self.law_of_busy(process, slot, mode)?;
                Err(self.broken(law, format!("the lock was busy, but {why}")))
            }
            answer => Err(self.wrong(&answer)),
        }
    }

    /// An attempt that must succeed because there are only readers.
    pub(crate) fn must_share(&mut self, process: ProcessNumber, slot: Slot) -> Result<(), Undone> {
        match self.try_free(process, slot, Shared)? {
            Answer::Acquired => Ok(()),
            Answer::WouldBlock => {
                let what = "the shared lock was busy, but there are only readers";
                Err(self.broken(Law::NoFalseBusy, what))
            }
            answer => Err(self.wrong(&answer)),
        }
    }

    /// An attempt that must find the lock held, for the reason given.
    pub(crate) fn must_be_busy(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
        why: &str,
    ) -> Result<(), Undone> {
        self.busy_by(Law::Exclusion, process, slot, mode, why)
    }

    /// An attempt that must find the lock held, [as before](Self::must_be_busy) the step that the case is
    /// about.
    pub(crate) fn must_still_be_busy(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
        why: &str,
    ) -> Result<(), Undone> {
        self.busy_by(self.law, process, slot, mode, why)
    }

    /// A wait that must be over soon, for the reason given.
    pub(crate) fn must_be_granted(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        why: &str,
    ) -> Result<(), Undone> {
        let soon = self.context.patience;
        let law = match self.law {
            Law::CancelSafety => Law::CancelSafety,
            _ => Law::Liveness,
        };
        match self.ask(process, &Command::Poll(slot, soon))? {
            Answer::Acquired => Ok(()),
            Answer::Pending => Err(self.broken(
                law,
                format!("the waiter does not get the lock within {soon:?}, but {why}"),
            )),
            answer => Err(self.wrong(&answer)),
        }
    }

    /// A call that must be refused. A wait may be refused at any poll, since the backend may have to ask
    /// a server.
    pub(crate) fn ask_to_the_end(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        command: &Command,
    ) -> Result<Answer, Undone> {
        match self.ask(process, command)? {
            Answer::Pending => self.ask(process, &Command::Poll(slot, self.context.patience)),
            answer => Ok(answer),
        }
    }

    /// A command that must succeed.
    pub(crate) fn must_be_done(
        &mut self,
        process: ProcessNumber,
        command: &Command,
    ) -> Result<(), Undone> {
        match self.ask(process, command)? {
            Answer::Done | Answer::Pid(_) => Ok(()),
            Answer::Unable(why) => Err(Undone::Skipped(why)),
            Answer::Panicked(message)
                if matches!(command, Command::Drop(_) | Command::Unlock(_)) =>
            {
                Err(self.broken(Law::Release, format!("it panicked: {message}")))
            }
            answer => Err(self.wrong(&answer)),
        }
    }

    /// A condition that must hold. Otherwise the law of the case is broken.
    pub(crate) fn must(&self, holds: bool, what: impl Into<String>) -> Result<(), Undone> {
        if holds {
            Ok(())
        } else {
            Err(self.broken(self.law, what))
        }
    }

    fn busy_by(
        &mut self,
        law: Law,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
        why: &str,
    ) -> Result<(), Undone> {
        match self.try_lock(process, slot, mode)? {
            Answer::WouldBlock => Ok(()),
            Answer::Acquired => Err(self.broken(law, format!("it got the lock, but {why}"))),
            answer => Err(self.wrong(&answer)),
        }
    }

    /// The law that is broken by a lock that is busy though no handle holds it. If one of the next
    /// attempts succeeds, nothing can have held the lock, and the law of the case is not broken.
    fn law_of_busy(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
    ) -> Result<Law, Undone> {
        for _ in 0..3 {
            if self.try_lock(process, slot, mode)? == Answer::Acquired {
                return Ok(Law::NoFalseBusy);
            }
        }
        Ok(self.law)
    }
}
