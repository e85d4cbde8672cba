//! The witness: a handle that checks whether the lock is held.

use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{Attempt, LockHandle};

use super::Halt;
use super::caller::USUAL;
use super::expected::Expected;
use super::walker::Walker;
use crate::Law;

/// How often a witness is used before a new one replaces it.
const CHECKS: u32 = 12;

impl Walker<'_> {
    /// Checks that the lock of a file is held or free, as it must be.
    pub(super) fn check_lock(&mut self, file: usize) -> Result<(), Halt> {
        let held = self
            .slots
            .iter()
            .any(|slot| slot.file == file && slot.held.is_some());
        if held && self.random.below(25) == 0 {
            self.check_inheritable(file)?;
        }
        // After an event the exclusive lock shows most, as it conflicts with all others.
        let shared = if self.files[file].events.is_empty() {
            50
        } else {
            20
        };
        let mode = if self.claims.shared && self.random.chance(shared) {
            Shared
        } else {
            Exclusive
        };
        self.check_lock_as(file, mode)
    }

    /// Checks this with an attempt to take the lock in this mode.
    pub(super) fn check_lock_as(&mut self, file: usize, mode: LockMode) -> Result<(), Halt> {
        let mut witness = match self.files[file].witness.take() {
            Some(witness) if self.files[file].checks < CHECKS => witness,
            _ => {
                self.files[file].checks = 0;
                let path = self.files[file].path.clone();
                self.open_quietly(&path, USUAL)?
            }
        };
        self.files[file].checks += 1;
        let expected = self.expect(file, mode);
        let (said, witness) = self.call(USUAL, "an attempt", Law::Errors, move |runtime, _| {
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
                self.record(
                    file,
                    format!("a witness tries to take the {mode} lock: acquired"),
                );
                Err(self.double(file, mode))
            }
            (Expected::Acquired, Ok(Attempt::WouldBlock)) => {
                self.record(
                    file,
                    format!("a witness tries to take the {mode} lock: busy"),
                );
                Err(self.blame(file, mode, USUAL)?)
            }
            (_, Err(error)) => {
                self.record(
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
}
