//! Laws 3 and 4: waits that are given up and calls that fail leave nothing behind.

use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::Exclusive;

use super::driver::{Driver, tries, until};
use crate::Law;
use crate::case::{Case, Undone, enough};
use crate::process::{Answer, Command};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        CancelSafety::a_thousand_waits_given_up_as_they_are_granted_leave_nothing_behind [Proc],
        AcquiredMeansAcquired::a_wait_that_was_given_up_never_takes_the_lock,
        CancelSafety::a_thousand_waits_given_up_leave_no_lock_thread_or_descriptor [Proc],
        CancelSafety::a_timeout_is_neither_early_nor_late,
        CancelSafety::a_wait_given_up_does_not_delay_the_next,
        CancelSafety::a_handle_whose_wait_was_given_up_can_lock,
        AcquiredMeansAcquired::an_attempt_that_found_the_lock_busy_leaves_nothing_behind,
        AcquiredMeansAcquired::dropping_the_handle_of_a_waiter_leaves_nothing_behind,
    }
}

fn a_wait_that_was_given_up_never_takes_the_lock(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (rounds, other) = (driver.context.times(30), driver.other());
    driver.open(0, 0)?;
    driver.open(0, 1)?;
    for _ in 0..rounds {
        driver.must_acquire(0, 0, Exclusive, "the only waiter gave up")?;
        driver.open(other, 2)?;
        driver.wait(other, 2, Exclusive)?;
        driver.must_be_done(other, &Command::Cancel(2))?;
        driver.unlock(0, 0)?;
        // Something that was left behind may take the lock a little later.
        for _ in 0..3 {
            driver.must_acquire(
                0,
                1,
                Exclusive,
                "nobody holds it: the only waiter gave up before it was unlocked",
            )?;
            driver.unlock(0, 1)?;
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(rounds)
}

fn a_thousand_waits_given_up_leave_no_lock_thread_or_descriptor(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let (waits, other) = (
        driver.context.times(1_000),
        usize::from(driver.context.claims.cross_process),
    );
    driver.fixture.new_process(other)?;
    driver.hold(0, 0)?;
    let mut fewest = waits;
    nothing_left(driver, other, |driver| {
        fewest = fewest.min(give_up(driver, other, waits)?);
        Ok(())
    })?;
    driver.unlock(0, 0)?;
    driver.must_acquire(0, 0, Exclusive, "all waiters have given up")?;
    enough(fewest, waits)
}

fn a_thousand_waits_given_up_as_they_are_granted_leave_nothing_behind(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let (waits, other) = (
        driver.context.times(1_000),
        usize::from(driver.context.claims.cross_process),
    );
    if other == 0 {
        return Err(Undone::Skipped(
            "the backend does not claim `cross_process`".into(),
        ));
    }
    driver.fixture.new_process(1)?;
    driver.hold(0, 0)?;
    driver.unlock(0, 0)?;
    let race = driver.script("give-up-waits-in-a-race", &[&waits]);
    let mut fewest = waits;
    nothing_left(driver, 1, |driver| {
        driver.send(1, &race)?;
        let turns = tries(&driver.run(0, "lock-and-unlock", &[&waits, &300])?);
        driver.result_of(1, &race)?;
        fewest = fewest.min(turns);
        Ok(())
    })?;
    driver.open(0, 0)?;
    for _ in 0..3 {
        driver.must_acquire(0, 0, Exclusive, "all waiters have given up")?;
        driver.unlock(0, 0)?;
        thread::sleep(Duration::from_millis(1));
    }
    enough(fewest, waits)
}

/// Waits this many times for a lock that another process holds, and gives up.
/// Returns how many it gave up before its time ran out.
fn give_up(driver: &mut Driver<'_>, process: usize, waits: u64) -> Result<u64, Undone> {
    let said = driver.run(process, "give-up-waits", &[&waits])?;
    if said.starts_with("got") {
        return Err(driver.broken(Law::Exclusion, "a waiter got a lock that somebody holds"));
    }
    Ok(tries(&said))
}

/// Checks that `waits` leave nothing behind in a process.
///
/// A backend may make something for its first wait and keep it for all others. It is a leak only if
/// there is more of it each time.
fn nothing_left<'b>(
    driver: &mut Driver<'b>,
    process: usize,
    mut waits: impl FnMut(&mut Driver<'b>) -> Result<(), Undone>,
) -> Result<(), Undone> {
    waits(driver)?;
    let mut before = driver.ask(process, &Command::Belongings)?;
    let mut after = before.clone();
    for _ in 0..2 {
        waits(driver)?;
        // Threads may take a moment to end.
        let no_more = until(driver.context.patience, || {
            after = driver.ask(process, &Command::Belongings)?;
            Ok(is_no_more(&after, &before))
        })?;
        if no_more {
            return Ok(());
        }
        std::mem::swap(&mut before, &mut after);
    }
    // The loop has swapped the latest two counts.
    let (Answer::Text(after), Answer::Text(before)) = (&before, &after) else {
        return Err(Undone::Failed(
            "what a process has could not be counted".into(),
        ));
    };
    Err(driver.broken(
        Law::CancelSafety,
        format!("the waits left something behind: {before} became {after}"),
    ))
}

/// Whether a process has no more of anything than before. It may have less, since a pool of threads may
/// have shrunk.
fn is_no_more(after: &Answer, before: &Answer) -> bool {
    let counts = |answer: &Answer| -> Vec<u64> {
        let Answer::Text(text) = answer else {
            return Vec::new();
        };
        let words = text.split(|c: char| !c.is_ascii_digit());
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (after, before) = (counts(after), counts(before));
    !after.is_empty()
        && after.len() == before.len()
        && after
            .iter()
            .zip(&before)
            .all(|(after, before)| after <= before)
}

fn a_timeout_is_neither_early_nor_late(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    let mut tried = 0;
    for timeout_ms in [0_u64, 1, 20, 300] {
        let said = driver.run(other, "wait-with-a-timeout", &[&timeout_ms])?;
        let Some(waited_ms) = said
            .strip_prefix("timed out after ")
            .and_then(|ms| ms.parse::<u64>().ok())
        else {
            let law = if said == "acquired" {
                Law::Exclusion
            } else {
                Law::Errors
            };
            return Err(driver.broken(
                law,
                "the lock was held: the wait was to last until its timeout",
            ));
        };
        driver.must(waited_ms >= timeout_ms, "the timeout was early")?;
        driver.must(
            Duration::from_millis(waited_ms - timeout_ms) < driver.context.patience,
            "the timeout was late",
        )?;
        tried += 1;
    }
    Ok(tried)
}

fn a_wait_given_up_does_not_delay_the_next(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    for slot in [1, 2] {
        driver.open(other, slot)?;
        driver.wait(other, slot, Exclusive)?;
    }
    driver.must_be_done(other, &Command::Cancel(1))?;
    driver.unlock(0, 0)?;
    driver.must_be_granted(other, 2, "the only other waiter gave up")?;
    Ok(1)
}

fn a_handle_whose_wait_was_given_up_can_lock(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(other, 1)?;
    driver.wait(other, 1, Exclusive)?;
    driver.must_be_done(other, &Command::Cancel(1))?;
    driver.must_be_busy(other, 1, Exclusive, "another handle holds it")?;
    driver.unlock(0, 0)?;
    driver.must_acquire(other, 1, Exclusive, "nobody holds it")?;
    driver.must_be_busy(0, 0, Exclusive, "a handle whose wait was given up holds it")?;
    Ok(3)
}

fn an_attempt_that_found_the_lock_busy_leaves_nothing_behind(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(0, 2)?;
    driver.open(other, 1)?;
    for _ in 0..20 {
        driver.must_be_busy(other, 1, Exclusive, "another handle holds it")?;
        driver.unlock(0, 0)?;
        driver.must_acquire(
            0,
            2,
            Exclusive,
            "nobody holds it: an attempt that found it busy is over",
        )?;
        driver.unlock(0, 2)?;
        driver.must_acquire(0, 0, Exclusive, "it was unlocked")?;
    }
    Ok(20)
}

fn dropping_the_handle_of_a_waiter_leaves_nothing_behind(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let other = driver.other();
    driver.open(0, 1)?;
    driver.hold(0, 0)?;
    driver.open(other, 2)?;
    driver.wait(other, 2, Exclusive)?;
    driver.drop_handle(other, 2)?;
    driver.unlock(0, 0)?;
    driver.must_acquire(
        0,
        1,
        Exclusive,
        "nobody holds it: the handle of the only waiter was dropped",
    )?;
    Ok(1)
}
