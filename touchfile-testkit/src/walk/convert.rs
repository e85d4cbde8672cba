//! Conversions.

use std::io::{self, ErrorKind};

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, ConvertLock, LockMode};

use super::Halt;
use super::caller::Caller;
use super::slot::Kept;
use super::walker::Walker;
use crate::Law;

impl Walker<'_> {
    pub(super) fn downgrade(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        let said = self.convert(slot, Shared, caller)?;
        match said {
            Ok(_) if self.claims.atomic_conversion => self.slots[slot].held = Some(Shared),
            said => self.refused_to_holder(file, said)?,
        }
        self.settle(file)?;
        self.check_lock(file)
    }

    pub(super) fn upgrade(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let others = self.slots.iter().filter(|other| {
            other.name != name && other.file == file && !other.stale && other.held.is_some()
        });
        let alone = others.count() == 0;
        let said = self.convert(slot, Exclusive, caller)?;
        match said {
            Ok(Attempt::Acquired) if self.claims.atomic_conversion && alone => {
                self.slots[slot].held = Some(Exclusive);
            }
            Ok(Attempt::WouldBlock) if self.claims.atomic_conversion && !alone => {}
            Ok(Attempt::Acquired) if self.claims.atomic_conversion => {
                return Err(Halt::broken(
                    Law::Exclusion,
                    "it became exclusive, but there is another reader",
                ));
            }
            Ok(Attempt::WouldBlock) if self.claims.atomic_conversion => {
                return Err(Halt::broken(
                    Law::NoFalseBusy,
                    "it says that others share the lock, but nobody does",
                ));
            }
            said => self.refused_to_holder(file, said)?,
        }
        self.check_lock(file)
    }

    pub(super) fn convert_nothing(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        let mode = if self.random.chance(50) {
            Shared
        } else {
            Exclusive
        };
        let said = self.convert(slot, mode, caller)?;
        match said {
            Err(error)
                if self.claims.atomic_conversion && error.kind() == ErrorKind::InvalidInput => {}
            Ok(_) if self.claims.atomic_conversion => {
                return Err(Halt::broken(
                    Law::Capabilities,
                    "a handle that holds nothing must refuse to convert it, with InvalidInput",
                ));
            }
            said => self.refused(said)?,
        }
        self.check_lock(file)
    }

    fn convert(
        &mut self,
        slot: usize,
        mode: LockMode,
        caller: Caller,
    ) -> Result<io::Result<Attempt>, Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let kind = match mode {
            Exclusive => "an upgrade",
            Shared => "a downgrade",
        };
        let mut handle = self.take(slot);
        let (said, handle) = self.call(caller, kind, Law::Errors, move |runtime, _| {
            let said = runtime.block_on(async {
                match mode {
                    Exclusive => handle.try_upgrade().await,
                    Shared => handle.downgrade().await.map(|()| Attempt::Acquired),
                }
            });
            (said, handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        let came_to = match &said {
            Ok(Attempt::Acquired) => "done".into(),
            Ok(Attempt::WouldBlock) => "busy".into(),
            Err(error) => error.to_string(),
        };
        self.record(
            file,
            format!(
                "handle {name} makes its lock {mode}{}: {came_to}",
                caller.in_words()
            ),
        );
        Ok(said)
    }

    /// Judges a refusal to convert a lock that is held. A handle that does not have the lock any more
    /// cannot convert it.
    fn refused_to_holder(&mut self, file: usize, said: io::Result<Attempt>) -> Result<(), Halt> {
        if said.is_err() {
            self.check_lock_as(file, Exclusive)?;
        }
        self.refused(said)
    }

    /// Judges a refusal: a conversion must be refused if it is not claimed, and only then.
    fn refused(&self, said: io::Result<Attempt>) -> Result<(), Halt> {
        match said {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                if self.claims.atomic_conversion {
                    return Err(Halt::broken(
                        Law::Capabilities,
                        format!("`atomic_conversion` is claimed, but refused: {error}"),
                    ));
                }
                Ok(())
            }
            Err(error)
                if !self.claims.atomic_conversion && error.kind() == ErrorKind::InvalidInput =>
            {
                Err(Halt::broken(
                    Law::Capabilities,
                    format!(
                        "`atomic_conversion` is not claimed, but converting was refused for another \
                         reason: {error}"
                    ),
                ))
            }
            Err(error) => Err(Halt::broken(
                Law::Errors,
                format!("converting failed: {error}"),
            )),
            Ok(_) => Err(Halt::broken(
                Law::Capabilities,
                "`atomic_conversion` is not claimed, but was not refused with Unsupported",
            )),
        }
    }
}
