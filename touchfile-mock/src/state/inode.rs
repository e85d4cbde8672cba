//! One file: the holders of its lock, and its queue of waiters.
//!
//! A waiter takes the lock itself when it is polled, if [`Inode::may_pass`] allows it. Every change that
//! may allow a waiter to pass calls [`Inode::wake_ready`]. The invariant is: **a waiter that may pass has
//! been woken since its last poll.** A woken waiter that leaves without taking the lock is such a change
//! as well.

use std::task::Waker;

use touchfile_core::LockMode;

use super::{HandleId, ProcessId};
use crate::Claim;

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// The paths that name this file.
    pub(super) links: usize,
    /// The open handles.
    pub(super) open: usize,
    pub(super) read_only: bool,
    holders: Vec<Holder>,
    /// The waiters, in the order in which they began to wait.
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
    /// Whether its process is stopped. Then it neither takes the lock nor blocks other waiters.
    pub(super) stopped: bool,
    /// It is taken when the waiter is woken, and set when the waiter is polled.
    pub(super) waker: Option<Waker>,
}

impl Inode {
    /// Whether the file still has a name or a handle.
    pub(super) fn is_used(&self) -> bool {
        self.links > 0 || self.open > 0 || !self.holders.is_empty()
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter()
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.iter()
    }

    /// Whether a holder conflicts with `mode`.
    pub(super) fn is_busy(&self, mode: LockMode) -> bool {
        self.holders
            .iter()
            .any(|holder| holder.claim.mode.conflicts_with(mode))
    }

    /// The mode that `handle` holds, unless the lock was lost, and whether it is the only holder.
    pub(super) fn hold_of(&mut self, handle: HandleId) -> Option<(&mut LockMode, bool)> {
        let alone = self.holders.len() == 1;
        let holder = self.holders.iter_mut().find(|h| h.handle == handle)?;
        Some((&mut holder.claim.mode, alone))
    }

    /// Whether `handle` may take the lock as a waiter: no holder conflicts, and no earlier waiter of a
    /// running process conflicts. A handle outside of the queue comes after all waiters.
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
                // A conflicting waiter that cannot pass blocks those behind it.
                return;
            }
            due.extend(self.waiters[index].waker.take());
        }
    }
}
