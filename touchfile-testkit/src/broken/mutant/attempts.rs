//! The attempts of a handle with a fault.

use std::io;

use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{Attempt, LockHandle};
use touchfile_file::RawFileLock;

use super::fault::{Claim, Fault};
use super::handle::{Handle, SLOW};
use super::shared::lease;
use super::side_effect::Op;
use crate::broken::base::Flock;

impl Handle {
    pub(super) async fn try_once(&mut self, mode: LockMode, fair: bool) -> io::Result<Attempt> {
        self.common.process.called();
        self.does(Op::Try, Some(mode));
        if let Some(answer) = self.refuses(mode) {
            return answer.map(|()| Attempt::Acquired);
        }
        if self.shows(Fault::Refuses, Some(mode)) {
            return Ok(Attempt::WouldBlock);
        }
        match self.attempt(mode, fair).await? {
            Attempt::Acquired => self.granted(mode).await,
            Attempt::WouldBlock => self.busy(mode).await,
        }
    }

    /// The mode in which the correct handle is locked.
    pub(super) fn asked(&self, mode: LockMode) -> LockMode {
        match mode {
            Exclusive if self.shows(Fault::TakesShared, Some(mode)) => Shared,
            Shared if self.shows(Fault::TakesExclusive, Some(mode)) => Exclusive,
            mode => mode,
        }
    }

    /// The answer that is given without a call of the correct handle, if there is one.
    pub(super) fn refuses(&mut self, mode: LockMode) -> Option<io::Result<()>> {
        if self.common.mutant.fault == Fault::Claims(Claim::Shared) && mode == Shared {
            return Some(Err(io::ErrorKind::Unsupported.into()));
        }
        // In a child the lock is the parent's, and the correct handle decides.
        if self.held.is_some() && !self.common.process.is_child() {
            if self.shows(Fault::AsksAgain, self.held) {
                return Some(Ok(()));
            }
            if self.shows(Fault::LostByRefusing, self.held) {
                self.lose();
            }
            self.state.refused();
            return Some(Err(io::ErrorKind::InvalidInput.into()));
        }
        if self.shows(Fault::Fails, Some(mode)) {
            return Some(Err(io::Error::other("something went wrong")));
        }
        None
    }

    /// One attempt, with the correct handle unless the fault replaces it.
    pub(super) async fn attempt(&mut self, mode: LockMode, fair: bool) -> io::Result<Attempt> {
        if let Some(kept) = self.kept.take() {
            if kept == mode {
                return Ok(Attempt::Acquired);
            }
            self.honest().unlock().await?;
        }
        if self.shows(Fault::SharesInChild, Some(mode)) {
            let attempt = self
                .copy
                .as_ref()
                .map_or(Ok(Attempt::Acquired), |copy| Flock.try_lock(copy, mode))?;
            self.locked_by_copy = attempt == Attempt::Acquired;
            return Ok(attempt);
        }
        if self.shows(Fault::ThreadRace, Some(mode)) && mode == Exclusive {
            let flag = self.flag.as_ref().expect("it is opened with one");
            let attempt = flag.race()?;
            self.flagged = attempt == Attempt::Acquired;
            return Ok(attempt);
        }
        let asked = self.asked(mode);
        if fair {
            self.honest().try_lock_fair(asked).await
        } else {
            self.honest().try_lock(asked).await
        }
    }

    /// The lock was taken in this mode. A fault may change the answer or release the lock.
    pub(super) async fn granted(&mut self, mode: LockMode) -> io::Result<Attempt> {
        if self.shows(Fault::FailsHolding, Some(mode)) {
            return Err(io::Error::other("it did not work"));
        }
        if self.shows(Fault::BusyHolding, Some(mode)) {
            return Ok(Attempt::WouldBlock);
        }
        if self.shows(Fault::HoldsNothing, Some(mode)) {
            self.honest().unlock().await?;
        }
        self.is_held(mode);
        if self.shows(Fault::Lease, Some(mode)) {
            if let Some(copy) = self.copy.clone() {
                lease(copy);
            }
        }
        if self.shows(Fault::Inherited, Some(mode)) {
            if let Some(copy) = &self.copy {
                rustix::io::fcntl_setfd(&**copy, rustix::io::FdFlags::empty()).ok();
            }
        }
        Ok(Attempt::Acquired)
    }

    /// Notes that the caller is told to have the lock.
    pub(super) fn is_held(&mut self, mode: LockMode) {
        self.held = Some(mode);
        self.state.acquired();
    }

    pub(super) async fn busy(&mut self, mode: LockMode) -> io::Result<Attempt> {
        if self.shows(Fault::Grants, Some(mode)) {
            self.is_held(mode);
            return Ok(Attempt::Acquired);
        }
        if self.shows(Fault::TryWaits, Some(mode)) {
            tokio::time::sleep(SLOW).await;
        }
        let fails = self.shows(Fault::BusyIsAnError, Some(mode));
        self.state.found_busy();
        if fails {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Attempt::WouldBlock)
    }
}
