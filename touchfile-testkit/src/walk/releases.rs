//! Releases.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use touchfile_core::LockHandle;

use super::Halt;
use super::call::DROPPING_WAIT;
use super::caller::{Caller, USUAL};
use super::files::Event;
use super::slot::Kept;
use super::walker::Walker;
use crate::Law;
use crate::system;

impl Walker<'_> {
    pub(super) fn unlock(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        self.release(slot, caller)?;
        self.settle(file)?;
        self.check_lock(file)
    }

    pub(super) fn release(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let mut handle = self.take(slot);
        self.record(
            file,
            format!("handle {name} is unlocked{}", caller.in_words()),
        );
        let (said, handle) = self.call(caller, "unlocking", Law::Release, move |runtime, _| {
            (runtime.block_on(handle.unlock()), handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        if let Err(error) = said {
            return Err(Halt::broken(
                Law::Errors,
                format!("unlocking failed: {error}"),
            ));
        }
        if self.slots[slot].held.take().is_some() && !self.slots[slot].stale {
            self.remember(file, Event::Released);
        }
        Ok(())
    }

    /// Drops a handle with whatever it has, in one of the ways in which things are dropped.
    pub(super) fn drop_slot(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let slot = self.slots.swap_remove(slot);
        let (file, held, stale) = (slot.file, slot.held.is_some(), slot.stale);
        let waited = slot.waits_for().is_some();
        let (inside, unwinds) = (self.random.chance(30), self.random.chance(15));
        let way = match (inside, unwinds) {
            (_, true) => ", while a panic unwinds",
            (true, _) => ", where a runtime runs",
            _ => "",
        };
        self.record(
            file,
            format!("handle {} is dropped{}{way}", slot.name, caller.in_words()),
        );
        let kept = slot.kept;
        let kind = if waited {
            DROPPING_WAIT
        } else {
            "dropping the handle"
        };
        self.call(caller, kind, Law::Release, move |runtime, _| {
            let _runs = inside.then(|| runtime.enter());
            if unwinds {
                unwind_with(kept);
            } else {
                drop(kept);
            }
        })?;
        if waited {
            self.remember(file, Event::GivenUp);
        }
        if held && !stale {
            self.remember(file, Event::Released);
        }
        self.settle(file)?;
        self.check_lock(file)
    }

    /// Renames a new file over a lock file. The handles on the old file lock a file without a name.
    pub(super) fn replace(&mut self, file: usize) -> Result<(), Halt> {
        let path = self.files[file].path.clone();
        if self.files[file].paths.len() != 1 && self.files[file].paths[1].parent() == path.parent()
        {
            return Ok(()); // the file has two names and would keep the other
        }
        let (new, left) = (self.dir.join("new"), fs::read(&path).unwrap_or_default());
        fs::write(&new, left)?;
        if let Ok(metadata) = fs::metadata(&path) {
            fs::set_permissions(&new, metadata.permissions())?;
        }
        system::replace(&path, &new)?;
        self.record(file, "a new file is renamed over it".into());
        for slot in &mut self.slots {
            slot.stale |= slot.file == file;
        }
        self.files[file].witness = None;
        // The lock of a file without a name cannot be checked, so the waits for it are given up.
        while let Some(slot) = self
            .slots
            .iter()
            .position(|slot| slot.file == file && slot.waits_for().is_some())
        {
            self.end_wait(slot, USUAL)?;
        }
        self.files[file].events.clear();
        self.check_lock(file)
    }
}

/// Drops something while the stack unwinds as in a panic. A panic of the drop itself goes on.
fn unwind_with(dropped: Kept) {
    struct Ours;
    let panic = catch_unwind(AssertUnwindSafe(move || {
        let _dropped = dropped;
        // Unlike a panic, this prints nothing.
        resume_unwind(Box::new(Ours));
    }));
    let Err(panic) = panic;
    if !panic.is::<Ours>() {
        resume_unwind(panic);
    }
}
