//! Law 8: a waiter gets the lock soon after it is free.

use std::time::{Duration, Instant};

use touchfile_core::LockMode::{Exclusive, Shared};

use super::driver::{Driver, tries};
use crate::Law;
use crate::case::{Case, Undone};
use crate::process::{Answer, Command};

/// How often a writer that seems to starve is tried.
const ATTEMPTS: u64 = 3;

/// A writer with fewer turns is starved.
const ENOUGH_TURNS: u64 = 3;

/// With fewer turns of both readers together, the few turns of the writer say nothing. A reader holds the
/// lock for 10 ms, so that two that never wait have sixty turns in the shortest time.
const READS: u64 = 20;

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Liveness::a_writer_among_readers [Shared, CrossProcess],
        Liveness::every_waiter_gets_its_turn,
        Liveness::a_waiter_gets_the_lock_when_its_holder_unlocks,
        Liveness::a_waiter_gets_the_lock_when_its_holder_drops_the_handle,
        Liveness::a_waiter_gets_the_lock_when_its_holder_is_killed [CrossProcess, CrashRelease],
        Liveness::a_waiter_gets_the_lock_when_its_holder_ends [CrossProcess, CrashRelease, RealProcesses],
        Liveness::readers_that_wait_get_the_lock_together [Shared],
    }
}

fn a_waiter_gets_the_lock_when_its_holder_unlocks(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let waiters = [driver.other(), 0];
    waiter_gets_it(driver, &waiters, |driver| driver.unlock(0, 0))
}

fn a_waiter_gets_the_lock_when_its_holder_drops_the_handle(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let waiters = [driver.other(), 0];
    waiter_gets_it(driver, &waiters, |driver| driver.drop_handle(0, 0))
}

fn a_waiter_gets_the_lock_when_its_holder_is_killed(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    waiter_gets_it(driver, &[1], |driver| {
        driver.kill(0);
        Ok(())
    })
}

fn a_waiter_gets_the_lock_when_its_holder_ends(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    waiter_gets_it(driver, &[1], |driver| {
        driver.fixture.finish(0);
        driver.note("process 0 ends by itself");
        Ok(())
    })
}

/// A waiter in each of these processes gets the lock when its holder in process 0 releases it.
fn waiter_gets_it(
    driver: &mut Driver<'_>,
    waiters: &[usize],
    release: fn(&mut Driver<'_>) -> Result<(), Undone>,
) -> Result<u64, Undone> {
    let modes = if driver.context.claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    let mut tried = 0;
    for &waiter in waiters {
        for &mode in modes {
            driver.hold(0, 0)?;
            driver.open(waiter, 1)?;
            driver.wait(waiter, 1, mode)?;
            release(driver)?;
            driver.must_be_granted(waiter, 1, "its holder released it")?;
            driver.unlock(waiter, 1)?;
            tried += 1;
        }
    }
    Ok(tried)
}

fn readers_that_wait_get_the_lock_together(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold_as(0, 0, Shared)?;
    driver.hold_as(other, 1, Shared)?;
    driver.unlock(other, 1)?;
    driver.hold(0, 0)?;
    let readers = [(0, 1), (other, 2), (other, 3)];
    for (process, slot) in readers {
        driver.open(process, slot)?;
        driver.wait(process, slot, Shared)?;
    }
    driver.unlock(0, 0)?;
    for (process, slot) in readers {
        driver.must_be_granted(process, slot, "there are only readers")?;
    }
    Ok(3)
}

fn every_waiter_gets_its_turn(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    let mut waiting: Vec<_> = (1..5)
        .flat_map(|slot| [(0, slot), (other, slot + 5)])
        .collect();
    for &(process, slot) in &waiting {
        driver.open(process, slot)?;
        driver.wait(process, slot, Exclusive)?;
    }
    driver.unlock(0, 0)?;
    // Each turn may take that long, since the calls of a slow backend add up.
    let mut deadline = Instant::now() + driver.context.patience * 2;
    let all = waiting.len() as u64;
    while !waiting.is_empty() {
        driver.must(
            Instant::now() < deadline,
            format!("{} waiters never get a turn", waiting.len()),
        )?;
        let mut still = Vec::new();
        for (process, slot) in waiting {
            match driver.ask(process, &Command::Poll(slot, Duration::from_millis(5)))? {
                Answer::Acquired => {
                    driver.unlock(process, slot)?;
                    deadline = Instant::now() + driver.context.patience * 2;
                }
                Answer::Pending => still.push((process, slot)),
                answer => return Err(driver.wrong(&answer)),
            }
        }
        waiting = still;
    }
    Ok(all)
}

/// The holds of two readers overlap, so that a reader always holds the lock while a writer waits.
fn a_writer_among_readers(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    for process in 0..3 {
        driver.open(process, 0)?;
    }
    // A starved writer gets a turn at the beginning, or none. On a busy machine that can also happen
    // to the writer of a fair backend, but not every time.
    for attempt in 1..=ATTEMPTS {
        let (turns, reads, measured) = write_among_readers(driver)?;
        driver.measured = vec![measured];
        if turns >= ENOUGH_TURNS || !driver.context.claims.fair {
            return Ok(attempt);
        }
        // Whoever serves in turns serves the writer once for each reader.
        if attempt == ATTEMPTS && reads < READS {
            return Err(Undone::TooSlow {
                done: reads,
                planned: READS,
            });
        }
    }
    let what = format!("fairness is claimed, but {}", driver.measured[0]);
    Err(driver.broken(Law::Liveness, what))
}

/// How often a writer gets its turn beside two readers whose holds overlap, and how often they get
/// theirs.
fn write_among_readers(driver: &mut Driver<'_>) -> Result<(u64, u64, String), Undone> {
    let time_ms = driver.context.times(600).clamp(300, 5_000);
    let reads = driver.script("read-in-turns", &[&time_ms]);
    let writes = driver.script("write-in-turns", &[&time_ms]);
    for reader in [0, 1] {
        driver.send(reader, &reads)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    driver.send(2, &writes)?;
    let mut read = tries(&driver.result_of(0, &reads)?);
    read += tries(&driver.result_of(1, &reads)?);
    let said = driver.result_of(2, &writes)?;
    let numbers: Vec<u64> = said
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[turns, longest_ms] = numbers.as_slice() else {
        return Err(Undone::Failed(format!("the writer said {said:?}")));
    };
    let measured = format!(
        "a writer among two overlapping readers got {turns} turns in {time_ms} ms, and waited \
         {longest_ms} ms at most"
    );
    Ok((turns, read, measured))
}
