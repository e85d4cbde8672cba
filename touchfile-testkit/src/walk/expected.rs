//! What a call must come to, and which law is broken if it does not.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

use super::Halt;
use super::call::{Caller, USUAL};
use super::files::Event;
use super::walker::Walker;
use crate::Law;
use crate::handles::Handle;

/// What an attempt must come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expected {
    Acquired,
    Busy,
}

impl Walker<'_> {
    /// What an attempt of somebody else than `slot` must come to.
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

    /// A call failed that had no reason to.
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
        // Whether it took the lock all the same?
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

    /// A handle's attempt found a lock busy that nobody holds: it may have taken it itself.
    pub(super) fn why_busy(
        &mut self,
        file: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<Halt, Halt> {
        if self.files[file].events.is_empty() {
            self.remember(file, Event::Busy);
        }
        self.blame(file, mode, caller)
    }

    /// The law that is broken by a lock that is busy though nobody holds it.
    pub(super) fn blame(
        &mut self,
        file: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<Halt, Halt> {
        let nobody = self.nobody(mode);
        // Beside readers there can be no writer whose lock has stayed.
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
        let stays = self.stays_busy(file, mode, caller)?;
        let events = &self.files[file].events;
        let has = |event| events.contains(&event);
        // What a wait leaves behind lets go of it in the end, or took it when the wait was given up.
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

    /// Whether even the lock of a file is busy that nobody has ever locked.
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

    /// Whether a new handle gets the lock. It lets go again at once.
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
