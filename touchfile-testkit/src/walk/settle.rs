//! A waiter must get the lock when it has become free.

use std::time::Duration;

use touchfile_core::LockMode;

use super::Halt;
use super::caller::USUAL;
use super::expected::Expected;
use super::walker::Walker;
use crate::Law;

impl Walker<'_> {
    /// Polls the waiters of a file until none of them must be granted the lock.
    ///
    /// All waiters are polled, because they may be in one queue of which only the head checks the lock.
    /// A waiter that cannot get the lock may block those behind it.
    pub(super) fn settle(&mut self, file: usize) -> Result<(), Halt> {
        while self.one_must_be_granted(file) {
            self.grant_one(file)?;
        }
        Ok(())
    }

    fn one_must_be_granted(&self, file: usize) -> bool {
        let waiting = self.waiters(file);
        let can_be_granted =
            |&(_, mode): &(usize, LockMode)| self.expect(file, mode) == Expected::Acquired;
        !waiting.is_empty() && waiting.iter().all(can_be_granted)
    }

    fn waiters(&self, file: usize) -> Vec<(usize, LockMode)> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| slot.file == file && !slot.stale)
            .filter_map(|(at, slot)| Some((at, slot.waits_for()?)))
            .collect()
    }

    fn grant_one(&mut self, file: usize) -> Result<(), Halt> {
        let waiting = self.waiters(file);
        let mut countdown = self.countdown();
        // The first polls need no timer.
        for &(slot, _) in &waiting {
            if self.poll(slot, 2, false)? {
                return Ok(());
            }
        }
        while let Some(slice) = countdown.slice() {
            let share = if waiting.len() == 1 {
                slice
            } else {
                Duration::from_millis(2)
            };
            for &(slot, _) in &waiting {
                if self.poll_for(slot, 1, share, false)? {
                    return Ok(());
                }
            }
        }
        let (slot, mode) = waiting[0];
        let name = self.slots[slot].name;
        if self.stays_busy(file, mode, USUAL)? {
            return Err(self.blame(file, mode, USUAL)?);
        }
        Err(Halt::broken(
            Law::Liveness,
            format!(
                "the lock is free, but handle {name}, which waits for the {mode} one, does not get it \
                 within {:?}",
                self.patience
            ),
        ))
    }
}
