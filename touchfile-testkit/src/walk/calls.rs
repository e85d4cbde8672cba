//! Locking, waiting and letting go.

use std::fs;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;
use std::time::{Duration, Instant};

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockHandle, LockMode};

use super::Halt;
use super::files::Event;
use super::slot::{End, Handle, Kept, Wait};
use super::walker::{HERE, POLL, Place, WAIT, Walker};
use crate::Law;
use crate::countdown::Countdown;
use crate::system;

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

    /// The handle of a slot, which is idle or holds its lock.
    pub(super) fn take(&mut self, slot: usize) -> Handle {
        match std::mem::replace(&mut self.slots[slot].kept, Kept::Away) {
            Kept::Idle(handle) => handle,
            _ => unreachable!("a waiter is not asked for its handle"),
        }
    }

    pub(super) fn try_lock(
        &mut self,
        slot: usize,
        mode: LockMode,
        fair: bool,
        place: Place,
    ) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let expected = self.expect(file, mode);
        let stand = |slot: &super::slot::Slot| {
            slot.file == file && (slot.has_place || slot.waits_for().is_some())
        };
        let others = self.slots.iter().any(stand);
        let looks = if others || expected == Expected::Busy {
            0
        } else {
            40
        };
        let mut handle = self.take(slot);
        let kind = if fair { "a fair attempt" } else { "an attempt" };
        let (said, handle) = self.call(place, kind, Law::Errors, move |runtime, _| {
            let said = runtime.block_on(async {
                if !fair {
                    return handle.try_lock(mode).await;
                }
                let mut said = handle.try_lock_fair(mode).await;
                // Those who stand before it may just be about to leave.
                for _ in 0..looks {
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
        self.tell(
            file,
            format!(
                "handle {name} tries{fairly} to take the {mode} lock{}: {}",
                how(place),
                in_words(&said)
            ),
        );
        // Who was told fairly that it is busy may keep a place.
        self.slots[slot].has_place |= fair && matches!(said, Ok(Attempt::WouldBlock));
        match (expected, said) {
            (Expected::Acquired, Ok(Attempt::Acquired)) => self.slots[slot].held = Some(mode),
            (Expected::Busy, Ok(Attempt::WouldBlock)) => self.remember(file, Event::Busy),
            (Expected::Acquired, Ok(Attempt::WouldBlock)) => {
                if !(fair && others) {
                    return Err(self.why_busy(file, mode, place)?);
                }
            }
            (Expected::Busy, Ok(Attempt::Acquired)) => return Err(self.double(file, mode)),
            (_, Err(error)) => return self.failed(slot, &error, "an attempt"),
        }
        self.look(file, place)
    }

    pub(super) fn start_waiting(
        &mut self,
        slot: usize,
        mode: LockMode,
        place: Place,
    ) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let handle = self.take(slot);
        self.slots[slot].has_place = false;
        self.slots[slot].kept = Kept::Waiting(Wait::new(handle, mode, place.runtime));
        self.tell(
            file,
            format!(
                "handle {name} starts to wait for the {mode} lock{}",
                how(place)
            ),
        );
        let over = self.poll(slot, 1, place.thread)?;
        if !over {
            self.settle(file)?;
        }
        self.look(file, place)
    }

    pub(super) fn poll_briefly(&mut self, slot: usize) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        self.poll(slot, 1, false)?;
        self.look(file, HERE)
    }

    /// Polls a wait so many times, and says whether it is over.
    pub(super) fn poll(&mut self, slot: usize, polls: u32, thread: bool) -> Result<bool, Halt> {
        self.poll_for(slot, polls, Duration::ZERO, thread)
    }

    /// Polls a wait so many times, and then for so long.
    pub(super) fn poll_for(
        &mut self,
        slot: usize,
        polls: u32,
        time: Duration,
        thread: bool,
    ) -> Result<bool, Halt> {
        let kept = std::mem::replace(&mut self.slots[slot].kept, Kept::Away);
        let Kept::Waiting(mut wait) = kept else {
            self.slots[slot].kept = kept;
            return Ok(true);
        };
        let mode = wait.mode;
        let kind = if time.is_zero() { POLL } else { WAIT };
        let place = Place {
            thread,
            runtime: wait.runtime,
        };
        let (end, wait) = self.call(place, kind, Law::Errors, move |runtime, _| {
            let end = runtime.block_on(async {
                for _ in 0..polls {
                    let polled = poll_fn(|cx| Poll::Ready(wait.future().poll(cx))).await;
                    if let Poll::Ready(end) = polled {
                        return Some(end);
                    }
                    tokio::task::yield_now().await;
                }
                if time.is_zero() {
                    return None;
                }
                tokio::time::timeout(time, wait.future()).await.ok()
            });
            (end, wait)
        })?;
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let Some((handle, end)) = end else {
            self.slots[slot].kept = Kept::Waiting(wait);
            return Ok(false);
        };
        self.slots[slot].kept = Kept::Idle(handle);
        match end {
            End::Granted => {
                self.tell(file, format!("handle {name} is granted the {mode} lock"));
                let free = self.slots[slot].stale || self.expect(file, mode) == Expected::Acquired;
                if !free {
                    return Err(self.double(file, mode));
                }
                self.slots[slot].held = Some(mode);
                Ok(true)
            }
            End::GivenUp => Ok(true),
            End::Failed(error) => {
                self.tell(file, format!("the wait of handle {name} fails: {error}"));
                let stale = error.kind() == ErrorKind::StaleNetworkFileHandle;
                if stale && self.slots[slot].stale {
                    return Ok(true);
                }
                self.failed(slot, &error, "a wait").map(|()| true)
            }
        }
    }

    pub(super) fn give_up(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        self.end_wait(slot, place)?;
        self.settle(file)?;
        self.look(file, place)
    }

    fn end_wait(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        let kept = std::mem::replace(&mut self.slots[slot].kept, Kept::Away);
        let Kept::Waiting(mut wait) = kept else {
            self.slots[slot].kept = kept;
            return Ok(());
        };
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        self.tell(
            file,
            format!("handle {name} gives up its wait{}", how(place)),
        );
        wait.give_up();
        // Wherever it began, it is given up here.
        let handle = self.call(
            place,
            "giving up a wait",
            Law::CancelSafety,
            move |runtime, _| runtime.block_on(wait.future()).0,
        )?;
        self.slots[slot].kept = Kept::Idle(handle);
        self.remember(file, Event::GivenUp);
        Ok(())
    }

    /// The holder lets go, and the waiter gives up before it can have noticed.
    pub(super) fn give_up_as_it_is_released(
        &mut self,
        slot: usize,
        place: Place,
    ) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        let holders: Vec<_> = (0..self.slots.len())
            .filter(|&other| self.slots[other].file == file && self.slots[other].held.is_some())
            .collect();
        for holder in holders {
            self.release(holder, place)?;
        }
        self.end_wait(slot, place)?;
        self.settle(file)?;
        self.look(file, place)
    }

    /// A handle that holds a lock must refuse another.
    pub(super) fn ask_again(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let mode = if self.claims.shared && self.dice.chance(50) {
            Shared
        } else {
            Exclusive
        };
        let waits = self.dice.chance(40);
        let mut handle = self.take(slot);
        let patience = self.patience;
        let (said, handle) = self.call(place, "asking again", Law::Errors, move |runtime, _| {
            let said = runtime.block_on(async {
                if !waits {
                    return handle.try_lock(mode).await;
                }
                // At whatever poll it is that it refuses.
                match tokio::time::timeout(patience, handle.lock(mode)).await {
                    Ok(said) => said.map(|()| Attempt::Acquired),
                    Err(_) => Ok(Attempt::WouldBlock),
                }
            });
            (said, handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        let what = if waits { "waits for" } else { "tries to take" };
        self.tell(
            file,
            format!(
                "handle {name}, which holds a lock, {what} the {mode} one{}: {}",
                how(place),
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
        self.look(file, place)
    }

    pub(super) fn unlock(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        let file = self.slots[slot].file;
        self.release(slot, place)?;
        self.settle(file)?;
        self.look(file, place)
    }

    fn release(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let mut handle = self.take(slot);
        self.tell(file, format!("handle {name} is unlocked{}", how(place)));
        let (said, handle) = self.call(place, "unlocking", Law::Release, move |runtime, _| {
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
    pub(super) fn drop_slot(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        let slot = self.slots.swap_remove(slot);
        let (file, held, stale) = (slot.file, slot.held.is_some(), slot.stale);
        let waited = slot.waits_for().is_some();
        let (inside, unwinds) = (self.dice.chance(30), self.dice.chance(15));
        let way = match (inside, unwinds) {
            (_, true) => ", while a panic unwinds",
            (true, _) => ", where a runtime runs",
            _ => "",
        };
        self.tell(
            file,
            format!("handle {} is dropped{}{way}", slot.name, how(place)),
        );
        let kept = slot.kept;
        self.call(
            place,
            "dropping the handle",
            Law::Release,
            move |runtime, _| {
                let _runs = inside.then(|| runtime.enter());
                if unwinds {
                    unwind_with(kept);
                } else {
                    drop(kept);
                }
            },
        )?;
        if waited {
            self.remember(file, Event::GivenUp);
        }
        if held && !stale {
            self.remember(file, Event::Released);
        }
        self.settle(file)?;
        self.look(file, place)
    }

    /// Locks and unlocks many times.
    pub(super) fn wear(&mut self, slot: usize, times: u32) -> Result<(), Halt> {
        let (name, file) = (self.slots[slot].name, self.slots[slot].file);
        let idle = |slot: &super::slot::Slot| slot.file != file || slot.is_idle();
        if !self.slots.iter().all(idle) {
            return Ok(());
        }
        let (shared, end) = (self.claims.shared, self.end);
        let mut handle = self.take(slot);
        let (said, handle) = self.call(HERE, "locking", Law::Errors, move |runtime, _| {
            let said = runtime.block_on(async {
                for time in 0..times {
                    // It is slow, and wears less.
                    if Instant::now() > end {
                        break;
                    }
                    let mode = if shared && time % 3 == 0 {
                        Shared
                    } else {
                        Exclusive
                    };
                    match handle.try_lock(mode).await? {
                        Attempt::Acquired => handle.unlock().await?,
                        Attempt::WouldBlock => return Ok(Some(mode)),
                    }
                }
                Ok::<_, io::Error>(None)
            });
            (said, handle)
        })?;
        self.slots[slot].kept = Kept::Idle(handle);
        self.tell(
            file,
            format!("handle {name} takes the lock {times} times and lets go of it"),
        );
        self.remember(file, Event::Released);
        match said {
            Ok(None) => self.look(file, HERE),
            Ok(Some(mode)) => Err(self.why_busy(file, mode, HERE)?),
            Err(error) => self.failed(slot, &error, "an attempt"),
        }
    }

    /// Renames a new file over a lock file, whose handles lock what has no name from then on.
    pub(super) fn replace(&mut self, file: usize) -> Result<(), Halt> {
        let path = self.files[file].path.clone();
        if self.files[file].roads.len() != 1 && self.files[file].roads[1].parent() == path.parent()
        {
            return Ok(()); // one of two names: the other stays
        }
        let (new, left) = (self.dir.join("new"), fs::read(&path).unwrap_or_default());
        fs::write(&new, left)?;
        if let Ok(metadata) = fs::metadata(&path) {
            fs::set_permissions(&new, metadata.permissions())?;
        }
        system::replace(&path, &new)?;
        self.tell(file, "a new file is renamed over it".into());
        for slot in &mut self.slots {
            slot.stale |= slot.file == file;
        }
        let new = &mut self.files[file];
        (new.witness, new.events) = (None, Vec::new());
        new.replaced += 1;
        // Nobody can look at the locks of a nameless file: who waits for one gives up.
        while let Some(slot) = self
            .slots
            .iter()
            .position(|slot| slot.file == file && slot.waits_for().is_some())
        {
            self.end_wait(slot, HERE)?;
        }
        self.files[file].events.clear();
        self.look(file, HERE)
    }

    /// A call failed that had no reason to.
    fn failed(&mut self, slot: usize, error: &io::Error, what: &str) -> Result<(), Halt> {
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
            && self.stays_busy(file, Exclusive, HERE)?
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

    pub(super) fn countdown(&self) -> Countdown {
        Countdown::new(self.patience)
    }
}

/// Drops something while a panic unwinds, and goes on if that is the only panic.
fn unwind_with(dropped: Kept) {
    struct Ours;
    let panic = catch_unwind(AssertUnwindSafe(move || {
        let _dropped = dropped;
        std::panic::panic_any(Ours);
    }));
    let Err(panic) = panic;
    if !panic.is::<Ours>() {
        resume_unwind(panic);
    }
}

fn in_words(said: &io::Result<Attempt>) -> String {
    match said {
        Ok(Attempt::Acquired) => "acquired".into(),
        Ok(Attempt::WouldBlock) => "busy".into(),
        Err(error) => format!("error {:?}: {error}", error.kind()),
    }
}

/// Where a call is made, if that is not where most are.
pub(super) fn how(place: Place) -> &'static str {
    match (place.thread, place.runtime) {
        (true, 0) => ", in another thread",
        (true, _) => ", in another thread and runtime",
        (false, 0) => "",
        (false, _) => ", in another runtime",
    }
}
