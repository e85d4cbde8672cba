//! Conversions: no other handle gets the lock in between, and a failed conversion changes nothing.

use std::io::ErrorKind;

use touchfile_core::LockMode::{Exclusive, Shared};

use super::driver::{Driver, ProcessNumber};
use crate::Law;
use crate::case::{Case, Undone};
use crate::process::{Answer, Command, Slot};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Exclusion::a_failed_conversion_keeps_the_shared_lock [AtomicConversion, Shared],
        Exclusion::a_converted_lock_excludes_as_if_it_had_been_taken_so [AtomicConversion, Shared],
        Exclusion::nobody_gets_the_lock_while_it_changes_its_mode [AtomicConversion, Shared],
        Liveness::a_reader_that_waits_gets_in_when_the_lock_becomes_shared [AtomicConversion, Shared],
        ForkAndExec::a_child_that_converts_its_copy_of_a_lock_changes_nothing [AtomicConversion, Shared, CrossProcess, ForkSafe, RealProcesses],
        Capabilities::conversion_is_there_or_refused,
    }
}

fn a_failed_conversion_keeps_the_shared_lock(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let mut tried = 0;
    for other in [0, driver.other()] {
        driver.hold_as(0, 0, Shared)?;
        driver.hold_as(other, 1, Shared)?;
        driver.open(other, 2)?;
        match driver.ask(0, &Command::TryUpgrade(0))? {
            Answer::WouldBlock => {}
            Answer::Acquired => {
                return Err(driver.broken(Law::Exclusion, "there is another reader"));
            }
            answer => return Err(driver.wrong(&answer)),
        }
        driver.must_share(other, 2)?;
        driver.unlock(other, 2)?;
        driver.unlock(other, 1)?;
        driver.must_be_busy(
            other,
            2,
            Exclusive,
            "only the attempt to become exclusive failed: the shared lock must still be held",
        )?;
        driver.unlock(0, 0)?;
        driver.must_acquire(other, 2, Exclusive, "the last reader has gone")?;
        driver.unlock(other, 2)?;
        tried += 1;
    }
    Ok(tried)
}

fn a_converted_lock_excludes_as_if_it_had_been_taken_so(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(other, 1)?;
    for _ in 0..2 {
        driver.must_be_done(0, &Command::Downgrade(0))?;
        driver.must_be_busy(other, 1, Exclusive, "it is held shared")?;
        driver.must_share(other, 1)?;
        driver.unlock(other, 1)?;
        driver.must_upgrade(0, 0)?;
        driver.must_be_busy(other, 1, Shared, "it is held exclusively")?;
        // As it is already.
        driver.must_upgrade(0, 0)?;
        driver.must_be_busy(other, 1, Shared, "it is held exclusively")?;
    }
    driver.unlock(0, 0)?;
    driver.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(6)
}

fn nobody_gets_the_lock_while_it_changes_its_mode(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (attempts, conversions) = (driver.context.times(10_000), driver.context.times(1_000));
    let other = driver.other();
    driver.hold(0, 0)?;
    let storm = driver.script("try-many", &[&"exclusive", &attempts]);
    // Within one process there is one thing at a time.
    if other != 0 {
        driver.send(other, &storm)?;
    }
    for _ in 0..conversions {
        driver.quietly(0, &Command::Downgrade(0), &Answer::Done)?;
        driver.quietly(0, &Command::TryUpgrade(0), &Answer::Acquired)?;
    }
    if other != 0 {
        let said = driver.result_of(other, &storm)?;
        driver.must(
            said.starts_with("0 acquired, "),
            "the lock was held all the while, in the one mode or the other",
        )?;
    }
    Ok(conversions)
}

fn a_reader_that_waits_gets_in_when_the_lock_becomes_shared(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(other, 1)?;
    driver.wait(other, 1, Shared)?;
    driver.must_be_done(0, &Command::Downgrade(0))?;
    driver.must_be_granted(other, 1, "the holder has made its lock a shared one")?;
    Ok(1)
}

fn a_child_that_converts_its_copy_of_a_lock_changes_nothing(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    driver.open(1, 0)?;
    driver.hold(0, 0)?;
    driver.must_be_done(0, &Command::ForkAndConvert(0, Shared))?;
    driver.must_still_be_busy(
        1,
        0,
        Shared,
        "only a child made its copy of the lock shared",
    )?;
    driver.must_be_done(0, &Command::Downgrade(0))?;
    driver.must_be_done(0, &Command::ForkAndConvert(0, Exclusive))?;
    match driver.try_lock(1, 0, Shared)? {
        Answer::Acquired => Ok(2),
        Answer::WouldBlock => Err(driver.broken(
            Law::ForkAndExec,
            "only a child made its copy of the shared lock exclusive",
        )),
        answer => Err(driver.wrong(&answer)),
    }
}

fn conversion_is_there_or_refused(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    let commands = [Command::Downgrade(0), Command::TryUpgrade(0)];
    driver.open(0, 0)?;
    if driver.context.claims.atomic_conversion {
        for command in &commands {
            let refused = driver.ask(0, command)?.is_kind(ErrorKind::InvalidInput);
            driver.must(
                refused,
                "a handle that holds nothing must refuse to convert it, with InvalidInput",
            )?;
        }
        return Ok(2);
    }
    driver.must_acquire(0, 0, Exclusive, "nobody holds it")?;
    driver.open(other, 1)?;
    for command in &commands {
        let refused = driver.ask(0, command)?.is_kind(ErrorKind::Unsupported);
        driver.must(
            refused,
            "`atomic_conversion` is not claimed: it must be refused with Unsupported",
        )?;
        driver.must_be_busy(
            other,
            1,
            Exclusive,
            "it is held, and was to be refused only",
        )?;
    }
    Ok(2)
}

impl Driver<'_> {
    /// A conversion that must succeed, because there is no other reader.
    pub(super) fn must_upgrade(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
    ) -> Result<(), Undone> {
        match self.ask(process, &Command::TryUpgrade(slot))? {
            Answer::Acquired => Ok(()),
            Answer::WouldBlock => Err(self.broken(Law::NoFalseBusy, "nobody else holds it shared")),
            answer => Err(self.wrong(&answer)),
        }
    }

    /// One of many conversions. It is in the trace only if its answer is wrong.
    fn quietly(
        &mut self,
        process: ProcessNumber,
        command: &Command,
        expected: &Answer,
    ) -> Result<(), Undone> {
        self.send(process, command)?;
        let before = self.trace_length();
        let answer = self.receive(process, command)?;
        if answer == *expected {
            self.truncate_trace(before);
            return Ok(());
        }
        match answer {
            Answer::WouldBlock => Err(self.broken(Law::NoFalseBusy, "nobody else holds it shared")),
            answer => Err(self.wrong(&answer)),
        }
    }
}
