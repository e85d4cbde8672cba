//! Law 5: what releases a lock.

use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::driver::Driver;
use crate::case::{Case, Undone};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Release::a_process_killed_at_any_moment_leaves_nothing_locked [CrossProcess, CrashRelease, RealProcesses],
        Release::unlocking_releases,
        Release::dropping_the_handle_releases,
        Release::the_end_of_the_process_releases [CrossProcess, CrashRelease, RealProcesses],
        Release::sigkill_releases [CrossProcess, CrashRelease],
        Release::dropping_the_handle_needs_no_runtime,
        Release::dropping_the_handle_in_another_thread_releases,
        Release::unlocking_what_is_not_held_is_no_error,
        Release::a_released_handle_locks_again,
        Release::a_reader_that_lets_go_leaves_the_others_their_locks [Shared],
    }
}

fn unlocking_releases(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.unlock(0, 0)?;
    driver.open(other, 1)?;
    driver.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(1)
}

fn dropping_the_handle_releases(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.drop_handle(0, 0)?;
    driver.open(other, 1)?;
    driver.must_acquire(other, 1, Exclusive, "its holder dropped the handle")?;
    Ok(1)
}

fn the_end_of_the_process_releases(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    driver.fixture.new_process(1)?;
    driver.hold(1, 0)?;
    driver.fixture.finish(1);
    driver.note("process 1 ends by itself");
    driver.open(0, 0)?;
    driver.must_acquire(0, 0, Exclusive, "the process that held it has ended")?;
    Ok(1)
}

fn sigkill_releases(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    driver.open(0, 0)?;
    let modes = if driver.context.claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    for &mode in modes {
        driver.hold_as(1, 0, mode)?;
        driver.must_be_busy(0, 0, Exclusive, "another process holds it")?;
        driver.kill(1);
        driver.must_acquire(0, 0, Exclusive, "the process that held it was killed")?;
        driver.unlock(0, 0)?;
    }
    Ok(2)
}

/// The process may be at any step of an acquisition when it is killed.
fn a_process_killed_at_any_moment_leaves_nothing_locked(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let rounds = driver.context.times(60);
    driver.open(0, 0)?;
    let command = driver.script("lock-and-unlock-for-ever", &[]);
    for round in 0..rounds {
        if !(driver.context.progress)(round, rounds) {
            break;
        }
        driver.send(1, &command)?;
        // The process is killed between the first system calls of its first lock and some thousand
        // locks later.
        thread::sleep(Duration::from_micros(round % 20 * 150));
        driver.kill(1);
        driver.must_acquire(
            0,
            0,
            Exclusive,
            "the only other process that locks was killed",
        )?;
        driver.unlock(0, 0)?;
    }
    Ok(rounds)
}

fn dropping_the_handle_needs_no_runtime(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    after_script(driver, "drop-without-a-runtime")
}

fn dropping_the_handle_in_another_thread_releases(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    after_script(driver, "drop-in-another-thread")
}

fn after_script(driver: &mut Driver<'_>, script: &str) -> Result<u64, Undone> {
    let other = driver.other();
    driver.run(0, script, &[])?;
    driver.open(other, 1)?;
    driver.must_acquire(other, 1, Exclusive, "its holder dropped the handle")?;
    Ok(1)
}

fn unlocking_what_is_not_held_is_no_error(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    driver.open(0, 0)?;
    driver.unlock(0, 0)?;
    driver.must_acquire(0, 0, Exclusive, "nobody holds it")?;
    driver.unlock(0, 0)?;
    driver.unlock(0, 0)?;
    Ok(2)
}

fn a_released_handle_locks_again(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.open(0, 0)?;
    driver.open(other, 1)?;
    for _ in 0..20 {
        driver.must_acquire(0, 0, Exclusive, "it was unlocked")?;
        driver.must_be_busy(
            other,
            1,
            Exclusive,
            "a handle that was unlocked before holds it again",
        )?;
        driver.unlock(0, 0)?;
        driver.must_acquire(other, 1, Exclusive, "it was unlocked")?;
        driver.unlock(other, 1)?;
    }
    Ok(60)
}

fn a_reader_that_lets_go_leaves_the_others_their_locks(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let other = driver.other();
    let path = driver.path();
    driver.open_with(0, 2, &path, &OpenOptions::new())?;
    let mut tried = 0;
    for reader in [0, other] {
        for drops in [false, true] {
            driver.hold_as(0, 0, Shared)?;
            driver.hold_as(reader, 1, Shared)?;
            if drops {
                driver.drop_handle(0, 0)?;
            } else {
                driver.unlock(0, 0)?;
            }
            driver.must_be_busy(0, 2, Exclusive, "another reader holds it still")?;
            driver.unlock(reader, 1)?;
            tried += 1;
        }
    }
    Ok(tried)
}
