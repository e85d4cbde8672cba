//! Questions to handles and to the backend, which change nothing.

use std::io::ErrorKind;
use std::process;

use touchfile_core::{LockBackend, LockHandle};

use super::Halt;
use super::call::HOLDERS;
use super::caller::Caller;
use super::slot::Kept;
use super::walker::Walker;
use crate::Law;

impl Walker<'_> {
    /// Asks whether a handle is current for a path of its own file or of another.
    pub(super) fn ask_current(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let (name, file, stale) = {
            let slot = &self.slots[slot];
            (slot.name, slot.file, slot.stale)
        };
        let (path, names_it) = match self.random.below(4) {
            0 => (
                self.files[(file + 1) % self.files.len()].path.clone(),
                false,
            ),
            1 => {
                let paths = &self.files[file].paths;
                let at = self.random.below(paths.len() as u64);
                (paths[usize::try_from(at).unwrap_or(0)].clone(), !stale)
            }
            2 => (self.dir.join("nothing"), false),
            _ => (self.slots[slot].path.clone(), !stale),
        };
        let handle = self.take(slot);
        let (said, handle) = self.call(caller, "asking whether it is current", Law::Errors, {
            let path = &path;
            move |runtime, _| (runtime.block_on(handle.is_current(path)), handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        let answer = match &said {
            Ok(current) => current.to_string(),
            Err(error) => error.to_string(),
        };
        self.record(
            file,
            format!(
                "handle {name} is asked whether {} is what it locks{}: {answer}",
                path.display(),
                caller.in_words()
            ),
        );
        let path = path.display();
        match said {
            _ if !self.claims.identity => match said {
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                _ => {
                    return Err(Halt::broken(
                        Law::Capabilities,
                        "`identity` is not claimed, but the question was not refused as unsupported",
                    ));
                }
            },
            Ok(current) if current == names_it => {}
            Ok(current) => {
                let word = if current { "" } else { "not " };
                return Err(Halt::broken(
                    Law::Identity,
                    format!("handle {name} calls itself {word}current for {path}"),
                ));
            }
            Err(error) => {
                return Err(Halt::broken(
                    Law::Errors,
                    format!(
                        "the question whether handle {name} is current for {path} failed: {error}"
                    ),
                ));
            }
        }
        self.check_lock(file)
    }

    pub(super) fn ask_lost(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let handle = self.take(slot);
        let (said, handle) = self.call(caller, "asking whether it was lost", Law::Errors, {
            move |runtime, _| (runtime.block_on(handle.is_lost()), handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        self.record(
            file,
            format!(
                "handle {name} is asked whether its lock was lost{}",
                caller.in_words()
            ),
        );
        match said {
            Ok(false) => self.check_lock(file),
            Ok(true) => Err(Halt::broken(
                Law::AcquiredMeansAcquired,
                "the lock is said to be lost, but it is held as before",
            )),
            Err(error) => Err(Halt::broken(
                Law::Errors,
                format!("the question whether the lock was lost failed: {error}"),
            )),
        }
    }

    /// Asks the backend for its claims and for the holders of the lock.
    pub(super) fn ask_backend(&mut self, file: usize, caller: Caller) -> Result<(), Halt> {
        let claims = self.claims;
        for _ in 0..8 {
            let now = self.call(
                caller,
                "asking for the claims",
                Law::Capabilities,
                |_, backend| backend.capabilities(),
            )?;
            if now != claims {
                self.record(
                    file,
                    format!("the backend is asked for its claims{}", caller.in_words()),
                );
                return Err(Halt::broken(
                    Law::Capabilities,
                    format!(
                        "capabilities are constant for the life of a backend, but {claims:?} became {now:?}"
                    ),
                ));
            }
        }
        self.ask_holders(file, caller)?;
        self.check_lock(file)
    }

    /// Asks who holds the lock. No other process may be named, because none has ever used these files.
    fn ask_holders(&mut self, file: usize, caller: Caller) -> Result<(), Halt> {
        let path = self.files[file].path.clone();
        let said = self.call(caller, HOLDERS, Law::Errors, |runtime, backend| {
            runtime.block_on(backend.holders(&path))
        })?;
        self.record(
            file,
            format!(
                "the backend is asked who holds the lock{}",
                caller.in_words()
            ),
        );
        let holders = said.map_err(|error| {
            Halt::broken(
                Law::Errors,
                format!("the question who holds the lock failed: {error}"),
            )
        })?;
        let stranger = holders
            .iter()
            .filter(|_| self.claims.real_files)
            .find(|holder| holder.pid().is_some_and(|pid| pid != process::id()));
        match stranger {
            None => Ok(()),
            Some(stranger) => Err(Halt::broken(
                Law::NoFalseBusy,
                format!("{stranger} is named as a holder, but no other process has used the lock"),
            )),
        }
    }
}
