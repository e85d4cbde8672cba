//! Attempts.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockHandle, LockMode};

use super::Halt;
use super::caller::{Caller, USUAL};
use super::expected::Expected;
use super::files::Event;
use super::slot::{Kept, Slot};
use super::walker::Walker;
use crate::Law;

impl Walker<'_> {
    pub(super) fn try_lock(
        &mut self,
        slot: usize,
        mode: LockMode,
        fair: bool,
        caller: Caller,
    ) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let expected = self.expect(file, mode);
        let queues =
            |slot: &Slot| slot.file == file && (slot.has_place || slot.waits_for().is_some());
        let others = self.slots.iter().any(queues);
        let attempts = if others || expected == Expected::Busy {
            0
        } else {
            40
        };
        let mut handle = self.take(slot);
        let kind = if fair { "a fair attempt" } else { "an attempt" };
        let (said, handle) = self.call(caller, kind, Law::Errors, move |runtime, _| {
            let said = runtime.block_on(async {
                if !fair {
                    return handle.try_lock(mode).await;
                }
                let mut said = handle.try_lock_fair(mode).await;
                // Waiters that were given up may take a moment to leave the queue.
                for _ in 0..attempts {
                    if !matches!(said, Ok(Attempt::WouldBlock)) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    said = handle.try_lock_fair(mode).await;
                }
                said
            });
            (said, handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        let fairly = if fair { " fairly" } else { "" };
        self.record(
            file,
            format!(
                "handle {name} tries{fairly} to take the {mode} lock{}: {}",
                caller.in_words(),
                in_words(&said)
            ),
        );
        // A handle that found the lock busy in a fair attempt may keep a place in the queue.
        self.slots[slot].has_place |= fair && matches!(said, Ok(Attempt::WouldBlock));
        match (expected, said) {
            (Expected::Acquired, Ok(Attempt::Acquired)) => self.slots[slot].held = Some(mode),
            (Expected::Busy, Ok(Attempt::WouldBlock)) => self.remember(file, Event::Busy),
            (Expected::Acquired, Ok(Attempt::WouldBlock)) => {
                if !(fair && others) {
                    return Err(self.why_busy(slot, mode, caller)?);
                }
            }
            (Expected::Busy, Ok(Attempt::Acquired)) => return Err(self.double(file, mode)),
            (_, Err(error)) => return self.failed(slot, &error, "an attempt"),
        }
        self.check_lock(file)
    }

    /// A handle that holds a lock must refuse another.
    pub(super) fn ask_again(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let mode = if self.claims.shared && self.random.chance(50) {
            Shared
        } else {
            Exclusive
        };
        let waits = self.random.chance(40);
        let mut handle = self.take(slot);
        let patience = self.patience;
        let (said, handle) =
            self.call(caller, "asking again", Law::Errors, move |runtime, _| {
                let said = runtime.block_on(async {
                    if !waits {
                        return handle.try_lock(mode).await;
                    }
                    // The wait may be refused at any of its polls.
                    match tokio::time::timeout(patience, handle.lock(mode)).await {
                        Ok(said) => said.map(|()| Attempt::Acquired),
                        Err(_) => Ok(Attempt::WouldBlock),
                    }
                });
                (said, handle)
            })?;
        self.slots[slot].kept = Kept::Idle(handle);
        let what = if waits { "waits for" } else { "tries to take" };
        self.record(
            file,
            format!(
                "handle {name}, which holds a lock, {what} the {mode} one{}: {}",
                caller.in_words(),
                in_words(&said)
            ),
        );
        match said {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {}
            Err(error) => {
                return Err(Halt::broken(
                    Law::Errors,
                    format!(
                        "a handle that holds a lock was to refuse another with InvalidInput, not: {error}"
                    ),
                ));
            }
            Ok(_) => {
                return Err(Halt::broken(
                    Law::Exclusion,
                    "a handle that holds a lock must refuse another with InvalidInput, so as not to \
                     convert a lock somebody relies on",
                ));
            }
        }
        self.check_lock(file)
    }

    /// Locks and unlocks many times, if no other handle on the file is in use. Returns how many times.
    pub(super) fn wear(&mut self, slot: usize, times: u32) -> Result<u64, Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let idle = |slot: &Slot| slot.file != file || slot.is_idle();
        if !self.slots.iter().all(idle) {
            return Ok(0);
        }
        let (shared, end) = (self.claims.shared, self.end);
        let mut handle = self.take(slot);
        let (said, handle) = self.call(USUAL, "locking", Law::Errors, move |runtime, _| {
            let said = runtime.block_on(async {
                for time in 0..times {
                    // A slow backend locks fewer times.
                    if Instant::now() > end {
                        return Ok(Worn::Times(time));
                    }
                    let mode = if shared && time % 3 == 0 {
                        Shared
                    } else {
                        Exclusive
                    };
                    match handle.try_lock(mode).await? {
                        Attempt::Acquired => handle.unlock().await?,
                        Attempt::WouldBlock => return Ok(Worn::Busy(mode)),
                    }
                }
                Ok::<_, io::Error>(Worn::Times(times))
            });
            (said, handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        self.record(
            file,
            format!("handle {name} takes the lock {times} times and lets go of it"),
        );
        self.remember(file, Event::Released);
        match said {
            Ok(Worn::Times(times)) => self.check_lock(file).map(|()| times.into()),
            Ok(Worn::Busy(mode)) => Err(self.why_busy(slot, mode, USUAL)?),
            Err(error) => self.failed(slot, &error, "an attempt").map(|()| 0),
        }
    }
}

/// What came of locking many times.
enum Worn {
    /// An attempt in this mode found the lock busy.
    Busy(LockMode),
    Times(u32),
}

fn in_words(said: &io::Result<Attempt>) -> String {
    match said {
        Ok(Attempt::Acquired) => "acquired".into(),
        Ok(Attempt::WouldBlock) => "busy".into(),
        Err(error) => format!("error {:?}: {error}", error.kind()),
    }
}
