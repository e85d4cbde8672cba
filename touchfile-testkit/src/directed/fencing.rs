//! Law 10: tokens rise from holder to holder, over processes, crashes and lost locks.

use touchfile_core::LockMode::{Exclusive, Shared};

use super::driver::{Driver, ProcessNumber};
use crate::case::{Case, Undone};
use crate::process::{Answer, Command, Slot};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Fencing::tokens_rise_from_holder_to_holder [Fencing],
        Fencing::tokens_rise_from_those_who_are_killed [Fencing, CrossProcess, CrashRelease],
        Fencing::tokens_rise_from_those_who_end [Fencing, CrossProcess, CrashRelease, RealProcesses],
        Fencing::tokens_rise_over_locks_that_are_lost [Fencing, CrossProcess, Losable],
        Fencing::a_writer_has_a_higher_token_than_the_readers_before_it [Fencing, Shared],
        Fencing::whoever_becomes_exclusive_has_a_new_token [Fencing, Shared, AtomicConversion],
        Fencing::a_token_is_there_while_the_lock_is_held_and_stays_the_same [Fencing],
        Capabilities::without_the_claim_there_are_no_tokens,
    }
}

/// The highest token so far, of holders that exclude each other.
#[derive(Default)]
struct Highest(Option<u64>);

impl Highest {
    /// Asks a holder for its token, which must be higher than those before.
    fn rises(
        &mut self,
        driver: &mut Driver<'_>,
        process: ProcessNumber,
        slot: Slot,
    ) -> Result<u64, Undone> {
        let token = held_token(driver, process, slot)?;
        let before = self.0.replace(token);
        driver.must(
            before.is_none_or(|before| before < token),
            format!("the token is {token}, but an earlier holder had {before:?}"),
        )?;
        Ok(token)
    }
}

fn token(
    driver: &mut Driver<'_>,
    process: ProcessNumber,
    slot: Slot,
) -> Result<Option<u64>, Undone> {
    match driver.ask(process, &Command::Token(slot))? {
        Answer::Token(token) => Ok(token),
        answer => Err(driver.wrong(&answer)),
    }
}

fn held_token(driver: &mut Driver<'_>, process: ProcessNumber, slot: Slot) -> Result<u64, Undone> {
    match token(driver, process, slot)? {
        Some(token) => Ok(token),
        None => Err(driver.broken(
            driver.law,
            "`fencing` is claimed, but a lock that is held has no token",
        )),
    }
}

fn tokens_rise_from_holder_to_holder(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (rounds, other) = (driver.context.times(60), driver.other());
    let mut highest = Highest::default();
    let places = [(0, 0), (other, 1), (0, 2)];
    for round in 0..rounds {
        let (process, slot) = places[(round % 3) as usize];
        let (next, waiting) = places[((round + 1) % 3) as usize];
        driver.hold(process, slot)?;
        highest.rises(driver, process, slot)?;
        driver.open(next, waiting)?;
        driver.wait(next, waiting, Exclusive)?;
        if round % 2 == 0 {
            driver.unlock(process, slot)?;
        } else {
            driver.drop_handle(process, slot)?;
        }
        driver.must_be_granted(next, waiting, "its holder let go")?;
        highest.rises(driver, next, waiting)?;
        driver.drop_handle(next, waiting)?;
    }
    Ok(2 * rounds)
}

fn tokens_rise_from_those_who_are_killed(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let mut highest = Highest::default();
    driver.open(0, 0)?;
    for _ in 0..3 {
        driver.hold(1, 0)?;
        highest.rises(driver, 1, 0)?;
        driver.kill(1);
        driver.must_acquire(0, 0, Exclusive, "the process that held it was killed")?;
        highest.rises(driver, 0, 0)?;
        driver.unlock(0, 0)?;
    }
    Ok(6)
}

fn tokens_rise_from_those_who_end(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let mut highest = Highest::default();
    for _ in 0..3 {
        driver.fixture.new_process(1)?;
        driver.hold(1, 0)?;
        highest.rises(driver, 1, 0)?;
        driver.fixture.finish(1);
        driver.note("process 1 ends by itself");
    }
    Ok(3)
}

fn tokens_rise_over_locks_that_are_lost(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    let mut highest = Highest::default();
    driver.hold(0, 0)?;
    let lost = highest.rises(driver, 0, 0)?;
    driver.fixture.lose(&path)?;
    driver.note("the lock is lost");
    driver.hold(1, 1)?;
    highest.rises(driver, 1, 1)?;
    let still = held_token(driver, 0, 0)?;
    driver.must(
        still == lost,
        format!("the token of the lost lock was {lost}, and is {still} now"),
    )?;
    Ok(2)
}

fn a_writer_has_a_higher_token_than_the_readers_before_it(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let other = driver.other();
    let mut highest = Highest::default();
    for _ in 0..3 {
        driver.hold(0, 0)?;
        let writer = highest.rises(driver, 0, 0)?;
        driver.unlock(0, 0)?;
        driver.hold_as(0, 1, Shared)?;
        driver.hold_as(other, 2, Shared)?;
        let readers = [held_token(driver, 0, 1)?, held_token(driver, other, 2)?];
        driver.must(
            readers.iter().all(|reader| *reader > writer),
            "a reader has no higher token than the writer before it",
        )?;
        highest.0 = readers.into_iter().max();
        driver.unlock(0, 1)?;
        driver.drop_handle(other, 2)?;
    }
    Ok(9)
}

fn whoever_becomes_exclusive_has_a_new_token(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold_as(0, 0, Shared)?;
    let first = held_token(driver, 0, 0)?;
    driver.hold_as(other, 1, Shared)?;
    let reader = held_token(driver, other, 1)?;
    driver.unlock(other, 1)?;
    driver.must_upgrade(0, 0)?;
    let mut highest = Highest(Some(first.max(reader)));
    let writer = highest.rises(driver, 0, 0)?;
    driver.must_be_done(0, &Command::Downgrade(0))?;
    let reader = held_token(driver, 0, 0)?;
    driver.must(
        reader >= writer,
        format!("it had the token {writer}, and has {reader} since it shares the lock"),
    )?;
    driver.unlock(0, 0)?;
    driver.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    highest.rises(driver, other, 1)?;
    Ok(4)
}

fn a_token_is_there_while_the_lock_is_held_and_stays_the_same(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    driver.open(0, 0)?;
    no_token(driver, "it has never locked")?;
    driver.must_acquire(0, 0, Exclusive, "nobody holds it")?;
    let first = held_token(driver, 0, 0)?;
    let again = held_token(driver, 0, 0)?;
    driver.must(
        first == again,
        format!("the token was {first} and is {again} now, though it is the same lock"),
    )?;
    driver.unlock(0, 0)?;
    no_token(driver, "it has unlocked")?;
    Ok(4)
}

fn no_token(driver: &mut Driver<'_>, why: &str) -> Result<(), Undone> {
    let token = token(driver, 0, 0)?;
    driver.must(
        token.is_none(),
        format!("the handle has the token {token:?}, but {why}"),
    )
}

fn without_the_claim_there_are_no_tokens(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    driver.hold(0, 0)?;
    let token = token(driver, 0, 0)?;
    driver.must(
        driver.context.claims.fencing || token.is_none(),
        format!("`fencing` is not claimed, but there is the token {token:?}"),
    )?;
    Ok(1)
}
