//! The witness, who looks whether the lock is held; and why it is, if it should not be.

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockHandle};

use super::Halt;
use super::call::USUAL;
use super::expected::Expected;
use super::walker::Walker;
use crate::Law;

/// How often a witness looks before it is replaced by another.
const LOOKS: u32 = 12;

impl Walker<'_> {
    /// Looks whether the lock of a file is held, which is known.
    pub(super) fn check_lock(&mut self, file: usize) -> Result<(), Halt> {
        let held = self
            .slots
            .iter()
            .any(|slot| slot.file == file && slot.held.is_some());
        if held && self.random.below(25) == 0 {
            self.look_for_inheritable(file)?;
        }
        // What has just happened is seen best by whom it would keep out.
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
        let mut witness = match self.files[file].witness.take() {
            Some(witness) if self.files[file].looks < LOOKS => witness,
            _ => {
                self.files[file].looks = 0;
                let path = self.files[file].path.clone();
                self.open_quietly(&path, USUAL)?
            }
        };
        self.files[file].looks += 1;
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
