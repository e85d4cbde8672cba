//! The witness, who looks whether the lock is held; and why it is, if it should not be.

use std::path::Path;
use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

use super::Halt;
use super::calls::Expected;
use super::files::Event;
use super::slot::Handle;
use super::walker::{HERE, Place, Walker};
use crate::Law;

/// How often a witness looks before it is replaced by another.
const LOOKS: u32 = 12;

/// For how long a lock is looked at that is held by nobody.
const STAYS: Duration = Duration::from_millis(40);

impl Walker<'_> {
    /// Looks whether the lock of a file is held, which is known.
    pub(super) fn look(&mut self, file: usize, _after: Place) -> Result<(), Halt> {
        let held = self
            .slots
            .iter()
            .any(|slot| slot.file == file && slot.held.is_some());
        if held && self.dice.below(25) == 0 {
            self.look_for_inheritable(file)?;
        }
        // What has just happened is seen best by whom it would keep out.
        let shared = if self.files[file].events.is_empty() {
            50
        } else {
            20
        };
        let mode = if self.claims.shared && self.dice.chance(shared) {
            Shared
        } else {
            Exclusive
        };
        let mut witness = match self.files[file].witness.take() {
            Some(witness) if self.files[file].looks < LOOKS => witness,
            _ => {
                self.files[file].looks = 0;
                let path = self.files[file].path.clone();
                self.open_quietly(&path, HERE)?
            }
        };
        self.files[file].looks += 1;
        let expected = self.expect(file, mode);
        let (said, witness) = self.call(HERE, "an attempt", Law::Errors, move |runtime, _| {
            let said = runtime.block_on(async {
                let said = witness.try_lock(mode).await?;
                if said == Attempt::Acquired && expected == Expected::Acquired {
                    witness.unlock().await?;
                }
                Ok::<_, std::io::Error>(said)
            });
            (said, witness)
        })?;
        self.files[file].witness = Some(witness);
        match (expected, said) {
            (Expected::Busy, Ok(Attempt::WouldBlock)) => Ok(()),
            (Expected::Acquired, Ok(Attempt::Acquired)) => {
                if mode == Exclusive {
                    self.files[file].events.clear();
                }
                Ok(())
            }
            (Expected::Busy, Ok(Attempt::Acquired)) => {
                self.tell(
                    file,
                    format!("a witness tries to take the {mode} lock: acquired"),
                );
                Err(self.double(file, mode))
            }
            (Expected::Acquired, Ok(Attempt::WouldBlock)) => {
                self.tell(
                    file,
                    format!("a witness tries to take the {mode} lock: busy"),
                );
                Err(self.blame(file, mode, HERE)?)
            }
            (_, Err(error)) => {
                self.tell(
                    file,
                    format!("a witness tries to take the {mode} lock: {error}"),
                );
                Err(Halt::broken(
                    Law::Errors,
                    format!("an attempt failed: {error}"),
                ))
            }
        }
    }

    /// A handle's attempt found a lock busy that nobody holds: it may have taken it itself.
    pub(super) fn why_busy(
        &mut self,
        file: usize,
        mode: LockMode,
        place: Place,
    ) -> Result<Halt, Halt> {
        if self.files[file].events.is_empty() {
            self.remember(file, Event::Busy);
        }
        self.blame(file, mode, place)
    }

    /// The law that is broken by a lock that is busy though nobody holds it.
    pub(super) fn blame(
        &mut self,
        file: usize,
        mode: LockMode,
        place: Place,
    ) -> Result<Halt, Halt> {
        let nobody = self.nobody(mode);
        // Beside readers there can be no writer whose lock has stayed.
        let readers = mode == Shared
            && self
                .slots
                .iter()
                .any(|slot| slot.file == file && !slot.stale && slot.held.is_some());
        if readers || !self.stays_busy_at_all(file, mode, place)? {
            return Ok(Halt::broken(Law::NoFalseBusy, nobody));
        }
        if self.is_busy_elsewhere(file, mode, place)? {
            return Ok(Halt::broken(Law::NoFalseBusy, nobody));
        }
        let stays = self.stays_busy(file, mode, place)?;
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

    /// Whether a new handle finds it busy three times in a row.
    fn stays_busy_at_all(
        &mut self,
        file: usize,
        mode: LockMode,
        place: Place,
    ) -> Result<bool, Halt> {
        let path = self.files[file].path.clone();
        for _ in 0..3 {
            if self.can_have(&path, mode, place)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it is busy for a while.
    pub(super) fn stays_busy(
        &mut self,
        file: usize,
        mode: LockMode,
        place: Place,
    ) -> Result<bool, Halt> {
        let path = self.files[file].path.clone();
        for _ in 0..8 {
            if self.can_have(&path, mode, place)? {
                return Ok(false);
            }
            thread::sleep(STAYS / 8);
        }
        Ok(true)
    }

    /// Whether even the lock of a file is busy that nobody has ever locked.
    fn is_busy_elsewhere(
        &mut self,
        file: usize,
        mode: LockMode,
        place: Place,
    ) -> Result<bool, Halt> {
        self.names += 1;
        let other = self.files[file].like_it(self.names);
        Ok(!self.can_have(&other, mode, place)?)
    }

    /// Whether a new handle gets the lock. It lets go again at once.
    fn can_have(&mut self, path: &Path, mode: LockMode, place: Place) -> Result<bool, Halt> {
        let mut handle = self.open_quietly(path, place)?;
        self.call(place, "an attempt", Law::Errors, move |runtime, _| {
            runtime.block_on(async {
                let got = matches!(handle.try_lock(mode).await, Ok(Attempt::Acquired));
                if got {
                    handle.unlock().await.ok();
                }
                got
            })
        })
    }

    fn open_quietly(&mut self, path: &Path, place: Place) -> Result<Handle, Halt> {
        let opened = self.call(place, "opening", Law::Errors, |runtime, backend| {
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
