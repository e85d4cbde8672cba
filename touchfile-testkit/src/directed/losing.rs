//! What a holder is told of a lock that it has lost.

use std::io::ErrorKind;
use std::time::Duration;

use touchfile_core::LockMode::Exclusive;

use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Undone};
use crate::process::{Answer, Command};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Capabilities::a_lock_that_is_lost_is_known_to_be_lost [Loss, CrossProcess, Losable],
        Capabilities::whoever_waits_for_a_loss_is_told_of_it [Loss, CrossProcess, Losable],
        Capabilities::unlocking_a_lost_lock_says_so_and_releases_nobody_elses [Loss, CrossProcess, Losable],
        Capabilities::dropping_a_lost_lock_releases_nobody_elses [Loss, CrossProcess, Losable],
        Capabilities::a_holder_that_was_stopped_for_long_knows_what_it_has_lost [Loss, CrossProcess, RealProcesses, Signals],
    }
}

/// Process 0 loses the lock, and process 1 takes it.
fn lose(driver: &mut Driver<'_>) -> Result<(), Undone> {
    let path = driver.path();
    driver.hold(0, 0)?;
    driver.fixture.lose(&path)?;
    driver.note("process 0 loses the lock");
    driver.open(1, 1)?;
    driver.must_acquire(1, 1, Exclusive, "its holder has lost it")
}

/// Whether process 0 says that it has lost its lock.
fn says_lost(driver: &mut Driver<'_>) -> Result<bool, Undone> {
    match driver.ask(0, &Command::IsLost(0))? {
        Answer::Yes => Ok(true),
        Answer::No => Ok(false),
        answer => Err(driver.wrong(&answer)),
    }
}

fn a_lock_that_is_lost_is_known_to_be_lost(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    lose(driver)?;
    must_know(driver)?;
    driver.unlock(1, 1)?;
    must_know(driver)?;
    driver.drop_handle(0, 0)?;
    driver.hold(0, 0)?;
    let lost = says_lost(driver)?;
    driver.must(!lost, "a lock that was just taken is called lost")?;
    Ok(3)
}

fn must_know(driver: &mut Driver<'_>) -> Result<(), Undone> {
    let lost = says_lost(driver)?;
    driver.must(
        lost,
        "`loss` is claimed, but a lost lock is not called lost",
    )
}

fn whoever_waits_for_a_loss_is_told_of_it(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let patience = driver.context.patience;
    driver.hold(0, 0)?;
    let answer = driver.ask(0, &Command::AwaitLoss(0, Duration::from_millis(20)))?;
    driver.must(
        answer == Answer::Pending,
        "the wait for a loss is over, but nothing is lost",
    )?;
    // The wait begins before the loss.
    let wait = Command::AwaitLoss(0, patience);
    driver.send(0, &wait)?;
    std::thread::sleep(Duration::from_millis(20));
    let path = driver.path();
    driver.fixture.lose(&path)?;
    driver.note("process 0 loses the lock");
    match driver.receive(0, &wait)? {
        Answer::Yes => Ok(2),
        Answer::Pending => Err(driver.broken(
            Law::Capabilities,
            format!(
                "`loss` is claimed, but whoever waits for a loss is not told within {patience:?}"
            ),
        )),
        answer => Err(driver.wrong(&answer)),
    }
}

fn unlocking_a_lost_lock_says_so_and_releases_nobody_elses(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    lose(driver)?;
    loser_unlocks(driver)?;
    Ok(2)
}

fn loser_unlocks(driver: &mut Driver<'_>) -> Result<(), Undone> {
    let answer = driver.ask(0, &Command::Unlock(0))?;
    driver.must(
        answer.is_kind(ErrorKind::StaleNetworkFileHandle),
        "`loss` is claimed: unlocking a lost lock must be an error, StaleNetworkFileHandle",
    )?;
    still_held(driver)
}

/// The loser has let go, and the lock of process 1 is still there.
fn still_held(driver: &mut Driver<'_>) -> Result<(), Undone> {
    driver.open(0, 2)?;
    driver.must_be_busy(
        0,
        2,
        Exclusive,
        "process 1 holds it, since process 0 has lost it",
    )?;
    driver.drop_handle(0, 0)?;
    driver.must_be_busy(
        0,
        2,
        Exclusive,
        "process 1 holds it, since process 0 has lost it",
    )?;
    driver.unlock(1, 1)?;
    driver.must_acquire(0, 2, Exclusive, "it was unlocked")
}

fn dropping_a_lost_lock_releases_nobody_elses(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    lose(driver)?;
    driver.drop_handle(0, 0)?;
    driver.open(0, 0)?;
    still_held(driver)?;
    Ok(1)
}

/// A lock that lasts for a time is lost by a holder that is stopped for longer. Whether a lock does is seen
/// by whether somebody else gets it.
fn a_holder_that_was_stopped_for_long_knows_what_it_has_lost(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let long = driver.context.death_grace + driver.context.patience;
    driver.hold(0, 0)?;
    driver.open(1, 1)?;
    driver.wait(1, 1, Exclusive)?;
    driver.fixture.stop(0)?;
    driver.note("process 0 is stopped");
    let granted = driver.ask(1, &Command::Poll(1, long))?;
    driver.fixture.resume(0);
    driver.note("process 0 goes on");
    match granted {
        Answer::Acquired => {}
        // It outlasts a stop, and so it cannot be lost by one.
        Answer::Pending => return Ok(1),
        answer => return Err(driver.wrong(&answer)),
    }
    must_know(driver)?;
    loser_unlocks(driver)?;
    Ok(2)
}
