//! Waits.

use std::io::ErrorKind;
use std::time::Duration;

use touchfile_core::LockMode;

use super::Halt;
use super::call::{GIVING_UP, POLL, WAIT};
use super::caller::Caller;
use super::expected::Expected;
use super::files::Event;
use super::slot::Kept;
use super::walker::Walker;
use crate::Law;
use crate::handles::{self, WaitEnd};

impl Walker<'_> {
    pub(super) fn start_waiting(
        &mut self,
        slot: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let handle = self.take(slot);
        self.slots[slot].has_place = false;
        self.slots[slot].kept = Kept::Waiting {
            wait: handles::Wait::new(handle, mode),
            mode,
            runtime: caller.runtime,
        };
        self.record(
            file,
            format!(
                "handle {name} starts to wait for the {mode} lock{}",
                caller.in_words()
            ),
        );
        let over = self.poll(slot, 1, caller.thread)?;
        if !over {
            self.settle(file)?;
        }
        self.check_lock(file)
    }

    pub(super) fn poll_briefly(&mut self, slot: usize) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        self.poll(slot, 1, false)?;
        self.check_lock(file)
    }

    /// Polls a wait this many times, and returns whether it is over.
    pub(super) fn poll(&mut self, slot: usize, polls: u32, thread: bool) -> Result<bool, Halt> {
        self.poll_for(slot, polls, Duration::ZERO, thread)
    }

    /// Polls a wait this many times and then for this time, and returns whether it is over.
    pub(super) fn poll_for(
        &mut self,
        slot: usize,
        polls: u32,
        time: Duration,
        thread: bool,
    ) -> Result<bool, Halt> {
        let kept = std::mem::replace(&mut self.slots[slot].kept, Kept::Away);
        let Kept::Waiting {
            mut wait,
            mode,
            runtime,
        } = kept
        else {
            self.slots[slot].kept = kept;
            return Ok(true);
        };
        let kind = if time.is_zero() { POLL } else { WAIT };
        let caller = Caller { thread, runtime };
        let (end, wait) = self.call(caller, kind, Law::Errors, move |runtime, _| {
            let end = runtime.block_on(async {
                let end = handles::poll_times(u64::from(polls), wait.future()).await;
                if end.is_some() || time.is_zero() {
                    return end;
                }
                tokio::time::timeout(time, wait.future()).await.ok()
            });
            (end, wait)
        })?;
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let Some((handle, end)) = end else {
            self.slots[slot].kept = Kept::Waiting {
                wait,
                mode,
                runtime,
            };
            return Ok(false);
        };
        self.slots[slot].kept = Kept::Idle(handle);
        match end {
            WaitEnd::Granted => {
                self.record(file, format!("handle {name} is granted the {mode} lock"));
                let free = self.slots[slot].stale || self.expect(file, mode) == Expected::Acquired;
                if !free {
                    return Err(self.double(file, mode));
                }
                self.slots[slot].held = Some(mode);
                Ok(true)
            }
            WaitEnd::Cancelled => Ok(true),
            WaitEnd::Failed(error) => {
                self.record(file, format!("the wait of handle {name} fails: {error}"));
                let stale = error.kind() == ErrorKind::StaleNetworkFileHandle;
                if stale && self.slots[slot].stale {
                    return Ok(true);
                }
                self.failed(slot, &error, "a wait").map(|()| true)
            }
        }
    }

    pub(super) fn give_up(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        self.end_wait(slot, caller)?;
        self.settle(file)?;
        self.check_lock(file)
    }

    pub(super) fn end_wait(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let kept = std::mem::replace(&mut self.slots[slot].kept, Kept::Away);
        let Kept::Waiting { mut wait, .. } = kept else {
            self.slots[slot].kept = kept;
            return Ok(());
        };
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        self.record(
            file,
            format!("handle {name} gives up its wait{}", caller.in_words()),
        );
        wait.cancel();
        // A wait may be given up in another runtime than the one in which it began.
        let handle = self.call(caller, GIVING_UP, Law::CancelSafety, move |runtime, _| {
            runtime.block_on(wait.future()).0
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        self.remember(file, Event::GivenUp);
        Ok(())
    }

    /// Releases the lock, and gives up the wait before it is polled again.
    pub(super) fn give_up_as_it_is_released(
        &mut self,
        slot: usize,
        caller: Caller,
    ) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        let holders: Vec<_> = (0..self.slots.len())
            .filter(|&other| self.slots[other].file == file && self.slots[other].held.is_some())
            .collect();
        for holder in holders {
            self.release(holder, caller)?;
        }
        self.end_wait(slot, caller)?;
        self.settle(file)?;
        self.check_lock(file)
    }
}
