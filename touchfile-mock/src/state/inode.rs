//! One file: who holds its lock, and who waits for it in what order.
//!
//! A lock is never handed to a waiter from outside. A waiter takes it when it is polled, if
//! [`Inode::may_pass`] lets it; every change that may let somebody pass calls
//! [`Inode::wake_ready`]. The one invariant is: **a waiter that may pass has been woken since its
//! last poll.** So a woken waiter that goes away instead of taking the lock only needs to have
//! `wake_ready` called after it, like any other change.

use std::task::Waker;

use touchfile_core::LockMode;

use super::{HandleId, ProcessId};
use crate::Claim;

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// The paths that name this file.
    pub(super) links: usize,
    /// The handles that are open on it.
    pub(super) open: usize,
    pub(super) read_only: bool,
    holders: Vec<Holder>,
    /// In the order in which they began to wait.
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
pub(super) struct Holder {
    pub(super) handle: HandleId,
    pub(super) claim: Claim,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) handle: HandleId,
    pub(super) process: ProcessId,
    pub(super) claim: Claim,
    /// Its process is stopped: it neither takes the lock nor keeps others from it.
    pub(super) stopped: bool,
    /// Taken when the waiter is woken, set anew when it is polled.
    pub(super) waker: Option<Waker>,
}

impl Inode {
    /// Whether anything still needs this file to exist.
    pub(super) fn is_used(&self) -> bool {
        self.links > 0 || self.open > 0 || !self.holders.is_empty()
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter()
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.iter()
    }

    /// Whether a holder keeps `mode` from being taken.
    pub(super) fn is_busy(&self, mode: LockMode) -> bool {
        self.holders
            .iter()
            .any(|holder| holder.claim.mode.conflicts_with(mode))
    }

    /// What `handle` holds, if nobody took it away, and whether it holds it alone.
    pub(super) fn hold_of(&mut self, handle: HandleId) -> Option<(&mut LockMode, bool)> {
        let alone = self.holders.len() == 1;
        let holder = self.holders.iter_mut().find(|h| h.handle == handle)?;
        Some((&mut holder.claim.mode, alone))
    }

    /// Whether `handle` may take the lock as a waiter: no holder conflicts, and nobody who came
    /// earlier and is running wants it in a mode that conflicts. A handle that is not in the
    /// queue comes after all that are.
    pub(super) fn may_pass(&self, handle: HandleId, mode: LockMode) -> bool {
        !self.is_busy(mode)
            && !self
                .waiters
                .iter()
                .take_while(|waiter| waiter.handle != handle)
                .any(|waiter| !waiter.stopped && waiter.claim.mode.conflicts_with(mode))
    }

    pub(super) fn hold(&mut self, handle: HandleId, claim: Claim) {
        self.holders.push(Holder { handle, claim });
    }

    /// Ends the hold of `handle`, if it has one.
    pub(super) fn release(&mut self, handle: HandleId) -> Option<Claim> {
        let index = self.holders.iter().position(|h| h.handle == handle)?;
        Some(self.holders.remove(index).claim)
    }

    pub(super) fn enqueue(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    pub(super) fn waiter_mut(&mut self, handle: HandleId) -> Option<&mut Waiter> {
        self.waiters.iter_mut().find(|w| w.handle == handle)
    }

    /// Takes `handle` out of the queue, if it is in it.
    pub(super) fn leave(&mut self, handle: HandleId) -> Option<Waiter> {
        let index = self.waiters.iter().position(|w| w.handle == handle)?;
        Some(self.waiters.remove(index))
    }

    pub(super) fn set_stopped(&mut self, process: ProcessId, stopped: bool) {
        for waiter in self.waiters.iter_mut().filter(|w| w.process == process) {
            waiter.stopped = stopped;
        }
    }

    /// Collects the wakers of all waiters that may take the lock now.
    pub(super) fn wake_ready(&mut self, due: &mut Vec<Waker>) {
        for index in 0..self.waiters.len() {
            let waiter = &self.waiters[index];
            if waiter.stopped {
                continue;
            }
            if !self.may_pass(waiter.handle, waiter.claim.mode) {
                // Whoever is behind one that cannot pass cannot pass either.
                return;
            }
            due.extend(self.waiters[index].waker.take());
        }
    }
}
