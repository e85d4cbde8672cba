//! Locks that change their mode: nobody gets in between, and what cannot be had costs nothing.

use std::io::ErrorKind;

use touchfile_core::LockMode::{Exclusive, Shared};

use super::case;
use super::cast::{Cast, Process};
use crate::Law;
use crate::process::{Answer, Order, Slot};
use crate::suite::{Case, Need, Undone};

const CONVERTS: &[Need] = &[Need::AtomicConversion, Need::Shared];

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            Law::Exclusion,
            "a_failed_conversion_keeps_the_shared_lock",
            CONVERTS,
            failed_upgrade,
        ),
        case(
            Law::Exclusion,
            "a_converted_lock_excludes_as_if_it_had_been_taken_so",
            CONVERTS,
            converted,
        ),
        case(
            Law::Exclusion,
            "nobody_gets_the_lock_while_it_changes_its_mode",
            CONVERTS,
            in_between,
        ),
        case(
            Law::Liveness,
            "a_reader_that_waits_gets_in_when_the_lock_becomes_shared",
            CONVERTS,
            reader_waits,
        ),
        case(
            Law::ForkAndExec,
            "a_child_that_converts_its_copy_of_a_lock_changes_nothing",
            &[
                Need::AtomicConversion,
                Need::Shared,
                Need::CrossProcess,
                Need::ForkSafe,
                Need::RealProcesses,
            ],
            child_converts,
        ),
        case(
            Law::Capabilities,
            "conversion_is_there_or_refused",
            &[],
            there_or_refused,
        ),
    ]
}

fn failed_upgrade(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let mut tried = 0;
    for other in [0, cast.other()] {
        cast.hold_as(0, 0, Shared)?;
        cast.hold_as(other, 1, Shared)?;
        cast.open(other, 2)?;
        match cast.ask(0, &Order::TryUpgrade(0))? {
            Answer::WouldBlock => {}
            Answer::Acquired => {
                return Err(cast.broken(Law::Exclusion, "there is another reader"));
            }
            answer => return Err(cast.wrong(&answer)),
        }
        cast.must_share(other, 2)?;
        cast.unlock(other, 2)?;
        cast.unlock(other, 1)?;
        cast.must_be_busy(
            other,
            2,
            Exclusive,
            "only the attempt to become exclusive failed: the shared lock must still be held",
        )?;
        cast.unlock(0, 0)?;
        cast.must_acquire(other, 2, Exclusive, "the last reader has gone")?;
        cast.unlock(other, 2)?;
        tried += 1;
    }
    Ok(tried)
}

fn converted(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.open(other, 1)?;
    for _ in 0..2 {
        cast.must_be_done(0, &Order::Downgrade(0))?;
        cast.must_be_busy(other, 1, Exclusive, "it is held shared")?;
        cast.must_share(other, 1)?;
        cast.unlock(other, 1)?;
        cast.must_upgrade(0, 0)?;
        cast.must_be_busy(other, 1, Shared, "it is held exclusively")?;
        // As it is already.
        cast.must_upgrade(0, 0)?;
        cast.must_be_busy(other, 1, Shared, "it is held exclusively")?;
    }
    cast.unlock(0, 0)?;
    cast.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(6)
}

fn in_between(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (attempts, conversions) = (cast.bench.times(10_000), cast.bench.times(1_000));
    let other = cast.other();
    cast.hold(0, 0)?;
    let storm = cast.scene("try-many", &[&"exclusive", &attempts]);
    // Within one process there is one thing at a time.
    if other != 0 {
        cast.tell(other, &storm)?;
    }
    for _ in 0..conversions {
        cast.quietly(0, &Order::Downgrade(0), &Answer::Done)?;
        cast.quietly(0, &Order::TryUpgrade(0), &Answer::Acquired)?;
    }
    if other != 0 {
        let said = cast.played(other, &storm)?;
        cast.must(
            said == format!("0 acquired, {attempts} busy"),
            "the lock was held all the while, in the one mode or the other",
        )?;
    }
    Ok(conversions)
}

fn reader_waits(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.open(other, 1)?;
    cast.wait(other, 1, Shared)?;
    cast.must_be_done(0, &Order::Downgrade(0))?;
    cast.must_be_granted(other, 1, "the holder has made its lock a shared one")?;
    Ok(1)
}

fn child_converts(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.open(1, 0)?;
    cast.hold(0, 0)?;
    cast.must_be_done(0, &Order::ForkAndConvert(0, Shared))?;
    cast.must_still_be_busy(
        1,
        0,
        Shared,
        "only a child made its copy of the lock shared",
    )?;
    cast.must_be_done(0, &Order::Downgrade(0))?;
    cast.must_be_done(0, &Order::ForkAndConvert(0, Exclusive))?;
    match cast.try_lock(1, 0, Shared)? {
        Answer::Acquired => Ok(2),
        Answer::WouldBlock => Err(cast.broken(
            Law::ForkAndExec,
            "only a child made its copy of the shared lock exclusive",
        )),
        answer => Err(cast.wrong(&answer)),
    }
}

fn there_or_refused(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    let orders = [Order::Downgrade(0), Order::TryUpgrade(0)];
    cast.open(0, 0)?;
    if cast.bench.claims.atomic_conversion {
        for order in &orders {
            let refused = cast.ask(0, order)?.is_kind(ErrorKind::InvalidInput);
            cast.must(
                refused,
                "a handle that holds nothing must refuse to convert it, with InvalidInput",
            )?;
        }
        return Ok(2);
    }
    cast.must_acquire(0, 0, Exclusive, "nobody holds it")?;
    cast.open(other, 1)?;
    for order in &orders {
        let refused = cast.ask(0, order)?.is_kind(ErrorKind::Unsupported);
        cast.must(
            refused,
            "`atomic_conversion` is not claimed: it must be refused with Unsupported",
        )?;
        cast.must_be_busy(
            other,
            1,
            Exclusive,
            "it is held, and was to be refused only",
        )?;
    }
    Ok(2)
}

impl Cast<'_> {
    /// A conversion that must succeed, because there is no other reader.
    fn must_upgrade(&mut self, process: Process, slot: Slot) -> Result<(), Undone> {
        match self.ask(process, &Order::TryUpgrade(slot))? {
            Answer::Acquired => Ok(()),
            Answer::WouldBlock => Err(self.broken(Law::NoFalseBusy, "nobody else holds it shared")),
            answer => Err(self.wrong(&answer)),
        }
    }

    /// One of many conversions, which would make the story long.
    fn quietly(
        &mut self,
        process: Process,
        order: &Order,
        expected: &Answer,
    ) -> Result<(), Undone> {
        self.tell(process, order)?;
        let before = self.told();
        let answer = self.hear(process, order)?;
        if answer == *expected {
            self.forget(before);
            return Ok(());
        }
        match answer {
            Answer::WouldBlock => Err(self.broken(Law::NoFalseBusy, "nobody else holds it shared")),
            answer => Err(self.wrong(&answer)),
        }
    }
}
