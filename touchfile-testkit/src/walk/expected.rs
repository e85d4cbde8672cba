//! The right answer of each call, and the law that a wrong one breaks.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

use super::Halt;
use super::caller::{Caller, USUAL};
use super::files::Event;
use super::walker::Walker;
use crate::Law;
use crate::handles::{Handle, modes};

/// The right answer of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expected {
    Acquired,
    Busy,
}

impl Walker<'_> {
    /// The right answer of an attempt by a handle that holds nothing.
    pub(super) fn expect(&self, file: usize, mode: LockMode) -> Expected {
        let held = self.slots.iter().any(|slot| {
            slot.file == file
                && !slot.stale
                && slot.held.is_some_and(|held| held.conflicts_with(mode))
        });
        if held {
            Expected::Busy
        } else {
            Expected::Acquired
        }
    }

    /// Reports a call that failed for no reason.
    pub(super) fn failed(
        &mut self,
        slot: usize,
        error: &io::Error,
        what: &str,
    ) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        self.remember(file, Event::Failed);
        if error.kind() == ErrorKind::Unsupported {
            return Err(Halt::broken(
                Law::Capabilities,
                format!("{what} was refused, but it is claimed that there is such a lock: {error}"),
            ));
        }
        // The call may have taken the lock all the same.
        if self.expect(file, Exclusive) == Expected::Acquired
            && self.stays_busy(file, Exclusive, USUAL)?
        {
            return Err(Halt::broken(
                Law::AcquiredMeansAcquired,
                format!("{what} failed ({error}), and has taken the lock"),
            ));
        }
        Err(Halt::broken(Law::Errors, format!("{what} failed: {error}")))
    }

    /// The finding that a handle got the lock beside a conflicting holder.
    pub(super) fn double(&self, file: usize, mode: LockMode) -> Halt {
        let holder = self.slots.iter().find(|slot| {
            slot.file == file
                && !slot.stale
                && slot.held.is_some_and(|held| held.conflicts_with(mode))
        });
        let holder = holder.map_or(0, |holder| holder.name);
        Halt::broken(
            Law::Exclusion,
            format!("it got the {mode} lock, but handle {holder} holds it"),
        )
    }

    /// The finding that the attempt of a handle found a free lock busy. The attempt may have taken the
    /// lock itself: then the lock is free once the handle is dropped.
    pub(super) fn why_busy(
        &mut self,
        slot: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<Halt, Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        if self.stays_busy_for(3, Duration::ZERO, file, Exclusive, USUAL)? {
            let handle = self.take(slot);
            self.call(USUAL, "dropping the handle", Law::Release, |_, _| {
                drop(handle);
            })?;
            if !self.stays_busy_for(1, Duration::ZERO, file, Exclusive, USUAL)? {
                return Ok(Halt::broken(
                    Law::AcquiredMeansAcquired,
                    format!(
                        "{}: handle {name}, which was told so, has taken it",
                        self.nobody(mode)
                    ),
                ));
            }
        }
        if self.files[file].events.is_empty() {
            self.remember(file, Event::Busy);
        }
        self.blame(file, mode, caller)
    }

    /// The finding that a lock is busy though no handle holds it.
    pub(super) fn blame(
        &mut self,
        file: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<Halt, Halt> {
        let nobody = self.nobody(mode);
        // While readers hold the lock, no writer can hold it.
        let readers = mode == Shared
            && self
                .slots
                .iter()
                .any(|slot| slot.file == file && !slot.stale && slot.held.is_some());
        if readers || !self.stays_busy_for(3, Duration::ZERO, file, mode, caller)? {
            return Ok(Halt::broken(Law::NoFalseBusy, nobody));
        }
        if self.is_busy_elsewhere(file, mode, caller)? {
            return Ok(Halt::broken(Law::NoFalseBusy, nobody));
        }
        if self.files[file].events.contains(&Event::Released)
            && self.is_not_released_elsewhere(file, caller)?
        {
            return Ok(Halt::broken(
                Law::Release,
                format!("{nobody}: the lock of a new file is not free either once it is released"),
            ));
        }
        let stays = self.stays_busy(file, mode, caller)?;
        let events = &self.files[file].events;
        let has = |event| events.contains(&event);
        // A wait that was given up can have taken the lock, and either keeps it or releases it later.
        let (law, why) =
            if has(Event::GivenUp) && (!stays || events.last() == Some(&Event::GivenUp)) {
                (
                    Law::AcquiredMeansAcquired,
                    "a wait that was given up took it, or left something behind that did",
                )
            } else if has(Event::Released) {
                (Law::Release, "a lock that was released is not free")
            } else if has(Event::GivenUp) || has(Event::Failed) || has(Event::Busy) {
                (
                    Law::AcquiredMeansAcquired,
                    "a call that did not get it has it",
                )
            } else {
                (Law::NoFalseBusy, "nothing explains it")
            };
        Ok(Halt::broken(law, format!("{nobody}: {why}")))
    }

    fn nobody(&self, mode: LockMode) -> String {
        format!("the {mode} lock is busy, but nobody holds a conflicting one")
    }

    /// Whether new handles find the lock busy this many times in a row, with a pause after each.
    fn stays_busy_for(
        &mut self,
        attempts: u32,
        pause: Duration,
        file: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<bool, Halt> {
        let path = self.files[file].path.clone();
        for _ in 0..attempts {
            if self.can_have(&path, mode, caller)? {
                return Ok(false);
            }
            thread::sleep(pause);
        }
        Ok(true)
    }

    /// Whether the lock stays busy for 40 ms.
    pub(super) fn stays_busy(
        &mut self,
        file: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<bool, Halt> {
        self.stays_busy_for(8, Duration::from_millis(5), file, mode, caller)
    }

    /// Whether the lock of a new file is busy, too.
    fn is_busy_elsewhere(
        &mut self,
        file: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<bool, Halt> {
        self.names += 1;
        let other = self.files[file].like_it(self.names);
        Ok(!self.can_have(&other, mode, caller)?)
    }

    /// Whether a new handle on a new file, of which nobody knows and for which nobody waits, leaves
    /// the lock held when it is unlocked or dropped.
    fn is_not_released_elsewhere(&mut self, file: usize, caller: Caller) -> Result<bool, Halt> {
        for &mode in modes(self.claims) {
            for drops in [false, true] {
                self.names += 1;
                let other = self.files[file].like_it(self.names);
                let mut handle = self.open_quietly(&other, caller)?;
                let _kept = self.call(caller, "a release", Law::Release, move |runtime, _| {
                    runtime.block_on(async {
                        handle.try_lock(mode).await.ok();
                        if drops {
                            drop(handle);
                            return None;
                        }
                        handle.unlock().await.ok();
                        Some(handle)
                    })
                })?;
                if !self.can_have(&other, Exclusive, caller)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether a new handle gets the lock. The handle releases it at once.
    fn can_have(&mut self, path: &Path, mode: LockMode, caller: Caller) -> Result<bool, Halt> {
        let mut handle = self.open_quietly(path, caller)?;
        self.call(caller, "an attempt", Law::Errors, move |runtime, _| {
            runtime.block_on(async {
                let got = matches!(handle.try_lock(mode).await, Ok(Attempt::Acquired));
                if got {
                    handle.unlock().await.ok();
                }
                got
            })
        })
    }

    pub(super) fn open_quietly(&mut self, path: &Path, caller: Caller) -> Result<Handle, Halt> {
        let opened = self.call(caller, "opening", Law::Errors, |runtime, backend| {
            runtime.block_on(backend.open(path, &OpenOptions::new()))
        })?;
        opened.map_err(|error| {
            Halt::broken(
                Law::Errors,
                format!("{} could not be opened: {error}", path.display()),
            )
        })
    }
}
