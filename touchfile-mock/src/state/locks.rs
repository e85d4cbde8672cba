//! Taking, waiting for, losing and releasing locks.

use std::io;
use std::path::Path;
use std::task::{Poll, Waker};

use tokio::time::Instant;
use touchfile_core::{Attempt, LockMode};

use super::inode::Waiter;
use super::{HandleId, OpenHandle, State};
use crate::{Call, Claim, EventKind};

impl State {
    pub(crate) fn try_lock(&mut self, id: HandleId, mode: LockMode) -> io::Result<Attempt> {
        let handle = self.ready_to_lock(id, mode)?;
        if self.strike(Call::TryLock, &handle.process, &handle.path)? {
            self.record(&handle, EventKind::Refused(mode));
            return Ok(Attempt::WouldBlock);
        }
        if self.inode(handle.inode).is_busy(mode) {
            self.record(&handle, EventKind::WouldBlock(mode));
            return Ok(Attempt::WouldBlock);
        }
        self.take(id, &handle, mode);
        Ok(Attempt::Acquired)
    }

    /// Takes the lock if no waiter is ahead. Otherwise joins the queue, and `poll_lock` continues.
    pub(crate) fn start_lock(&mut self, id: HandleId, mode: LockMode) -> io::Result<Attempt> {
        let handle = self.ready_to_lock(id, mode)?;
        self.strike(Call::Lock, &handle.process, &handle.path)?;
        if self.inode(handle.inode).may_pass(id, mode) {
            self.take(id, &handle, mode);
            return Ok(Attempt::Acquired);
        }
        let waiter = Waiter {
            handle: id,
            process: handle.process.id,
            claim: Claim::new(&*handle.process.name, mode),
            stopped: self.is_stopped(&handle.process),
            waker: None,
        };
        self.inode(handle.inode).enqueue(waiter);
        self.record(&handle, EventKind::WaitStarted(mode));
        Ok(Attempt::WouldBlock)
    }

    pub(crate) fn poll_lock(&mut self, id: HandleId, waker: &Waker) -> Poll<io::Result<()>> {
        let handle = match self.live(id) {
            Ok(handle) => handle,
            Err(killed) => return Poll::Ready(Err(killed)),
        };
        let inode = self.inode(handle.inode);
        let waiter = inode
            .waiter_mut(id)
            .expect("a waiter is in the queue until it takes the lock or is dropped");
        let mode = waiter.claim.mode;
        if !waiter.stopped && inode.may_pass(id, mode) {
            self.leave(id, &handle);
            self.take(id, &handle, mode);
            return Poll::Ready(Ok(()));
        }
        if let Some(waiter) = inode.waiter_mut(id) {
            let old = waiter.waker.replace(waker.clone());
            self.retired.extend(old);
        }
        Poll::Pending
    }

    /// Ends the wait of `id`, if it waits, and wakes the waiters that may pass now.
    pub(crate) fn end_wait(&mut self, id: HandleId) {
        let Some(handle) = self.handles.get(&id).filter(|h| h.alive).cloned() else {
            return;
        };
        if let Some(mode) = self.leave(id, &handle) {
            self.record(&handle, EventKind::WaitCancelled(mode));
            self.wake(handle.inode);
        }
    }

    pub(crate) fn unlock(&mut self, id: HandleId) -> io::Result<()> {
        self.end_wait(id);
        let handle = self.live(id)?;
        self.strike(Call::Unlock, &handle.process, &handle.path)?;
        let lost = handle.held.is_some() && !self.holds(id, &handle);
        self.release(id, &handle);
        if lost && handle.capabilities.loss {
            return Err(io::ErrorKind::StaleNetworkFileHandle.into());
        }
        Ok(())
    }

    /// Lets all holders of this file lose their locks without knowing it.
    pub(crate) fn lose_locks_on(&mut self, path: &Path, expired: Option<Instant>) -> usize {
        let Some(inode) = self.file_at(path) else {
            return 0;
        };
        let handles: Vec<HandleId> = inode.holders().map(|holder| holder.handle).collect();
        let Some(&inode) = self.paths.get(path) else {
            return 0;
        };
        let mut lost = 0;
        for id in handles {
            let Some(claim) = self.inode(inode).release(id) else {
                continue;
            };
            let what = EventKind::LockLost(claim.mode);
            self.history.record(Some(&claim.process), Some(path), what);
            lost += 1;
            if let Some(handle) = self.handles.get_mut(&id) {
                handle.expired = expired;
            }
        }
        self.due.append(&mut self.watchers);
        self.wake(inode);
        lost
    }

    /// Lets this process lose all its locks without knowing it.
    pub(crate) fn lose_locks_of(&mut self, name: &str) -> usize {
        let Some(process) = self.processes.get(name) else {
            return 0;
        };
        let mut lost = 0;
        for id in self.handles_of(process.id()) {
            let handle = self.handles[&id].clone();
            if let Some(claim) = self.inode(handle.inode).release(id) {
                self.record(&handle, EventKind::LockLost(claim.mode));
                self.wake(handle.inode);
                lost += 1;
            }
        }
        self.due.append(&mut self.watchers);
        lost
    }

    /// Whether the handle has lost the lock that it seems to hold.
    pub(crate) fn is_lost(&mut self, id: HandleId) -> io::Result<bool> {
        let handle = self.live(id)?;
        self.strike(Call::IsLost, &handle.process, &handle.path)?;
        Ok(handle.held.is_some() && !self.holds(id, &handle))
    }

    pub(crate) fn tells_of_losses(&self, id: HandleId) -> bool {
        let handle = self.handles.get(&id);
        handle.is_some_and(|handle| handle.capabilities.loss)
    }

    pub(crate) fn valid_until(&self, id: HandleId) -> Option<Instant> {
        let handle = self.handles.get(&id)?;
        handle.expired.filter(|_| handle.held.is_some())
    }

    pub(crate) fn poll_lost(&mut self, id: HandleId, waker: &Waker) -> Poll<io::Result<()>> {
        let handle = match self.live(id) {
            Ok(handle) => handle,
            Err(killed) => return Poll::Ready(Err(killed)),
        };
        if let Err(error) = self.strike(Call::Lost, &handle.process, &handle.path) {
            return Poll::Ready(Err(error));
        }
        if handle.held.is_some() && !self.holds(id, &handle) {
            return Poll::Ready(Ok(()));
        }
        if !self.watchers.iter().any(|watcher| watcher.will_wake(waker)) {
            self.watchers.push(waker.clone());
        }
        Poll::Pending
    }

    /// Releases for `unlock` and for a drop: removes the file if that was asked for, then the lock.
    pub(super) fn release(&mut self, id: HandleId, handle: &OpenHandle) {
        let Some(believed) = handle.held else {
            return;
        };
        if !self.holds(id, handle) {
            self.set_held(id, None);
            self.record(handle, EventKind::UnlockedLost(believed));
            return;
        }
        let last = self.inode(handle.inode).holders().count() == 1;
        if handle.remove_on_release && last && self.names(&handle.path, handle.inode) {
            self.unlink_by(Some(&handle.process), &handle.path);
        }
        self.let_go(id, handle);
    }

    fn holds(&mut self, id: HandleId, handle: &OpenHandle) -> bool {
        let mut holders = self.inode(handle.inode).holders();
        holders.any(|holder| holder.handle == id)
    }

    /// Ends the hold of `id`, if it has one, and wakes the waiters that may pass now.
    pub(super) fn let_go(&mut self, id: HandleId, handle: &OpenHandle) {
        self.set_held(id, None);
        if let Some(claim) = self.inode(handle.inode).release(id) {
            self.record(handle, EventKind::Released(claim.mode));
            self.wake(handle.inode);
        }
    }

    /// Refuses a lock that this handle must not ask for.
    fn ready_to_lock(&mut self, id: HandleId, mode: LockMode) -> io::Result<OpenHandle> {
        // A `lock()` future may have been leaked, so that its wait has not ended.
        self.end_wait(id);
        let handle = self.live(id)?;
        if let Some(held) = handle.held {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("this handle holds the {held} lock already: unlock it, or open another"),
            ));
        }
        let unsupported = |what| Err(io::Error::new(io::ErrorKind::Unsupported, what));
        if mode == LockMode::Shared && !handle.capabilities.shared {
            return unsupported("this mock backend was made without shared locks");
        }
        let read_only = self.inode(handle.inode).read_only;
        if mode == LockMode::Exclusive && read_only && !handle.capabilities.exclusive_read_only {
            return unsupported("this mock backend locks read-only files in shared mode only");
        }
        Ok(handle)
    }

    fn take(&mut self, id: HandleId, handle: &OpenHandle, mode: LockMode) {
        let claim = Claim::new(&*handle.process.name, mode);
        self.inode(handle.inode).hold(id, claim);
        self.set_held(id, Some(mode));
        self.new_token(id);
        self.record(handle, EventKind::Acquired(mode));
    }

    fn leave(&mut self, id: HandleId, handle: &OpenHandle) -> Option<LockMode> {
        let waiter = self.inode(handle.inode).leave(id)?;
        self.retired.extend(waiter.waker);
        Some(waiter.claim.mode)
    }
}
