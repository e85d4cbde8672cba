//! Signals that interrupt system calls.

use std::time::Duration;

use super::driver::{Driver, tries};
use crate::case::{Case, Undone, enough};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Errors::a_waiter_in_a_storm_of_signals_meets_no_error [CrossProcess, RealProcesses, Signals],
        NoFalseBusy::an_attempt_in_a_storm_of_signals_is_not_busy [CrossProcess, RealProcesses, Signals],
    }
}

fn a_waiter_in_a_storm_of_signals_meets_no_error(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let turns = driver.context.times(50);
    let script = driver.script("lock-and-unlock", &[&turns, &100]);
    for process in [0, 1] {
        driver.open(process, 0)?;
        driver.send(process, &script)?;
    }
    storm(driver)?;
    let said = driver.result_of(1, &script)?;
    driver.result_of(0, &script)?;
    enough(tries(&said), turns)
}

fn an_attempt_in_a_storm_of_signals_is_not_busy(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let attempts = driver.context.times(3_000);
    let script = driver.script("try-many", &[&"exclusive", &attempts]);
    driver.open(1, 0)?;
    driver.send(1, &script)?;
    storm(driver)?;
    let said = driver.result_of(1, &script)?;
    driver.must(
        said.ends_with(" acquired, 0 busy"),
        "nobody else uses the lock",
    )?;
    enough(tries(&said), attempts)
}

/// Interrupts the system calls of process 1. Stopping and continuing a process without signal handlers
/// does that (signal(7)).
fn storm(driver: &mut Driver<'_>) -> Result<(), Undone> {
    for _ in 0..driver.context.times(100) {
        driver.fixture.stop(1)?;
        driver.fixture.resume(1);
        std::thread::sleep(Duration::from_micros(200));
    }
    driver.note("process 1 was stopped and continued again and again");
    Ok(())
}
