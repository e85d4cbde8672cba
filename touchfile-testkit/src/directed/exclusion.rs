//! Law 1: which handles exclude each other.

use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};

use super::driver::{Driver, tries};
use crate::Law;
use crate::case::{Case, Undone, enough};
use crate::process::{Answer, Command};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Exclusion::one_attempt_in_thousands_is_not_granted_twice,
        Exclusion::two_handles_of_one_process_exclude_each_other,
        Exclusion::two_processes_exclude_each_other [CrossProcess],
        Exclusion::readers_share_and_keep_a_writer_out [Shared],
        Exclusion::a_handle_excludes_those_used_in_other_threads,
        Exclusion::a_handle_that_holds_refuses_to_be_asked_again,
        Exclusion::closing_the_file_elsewhere_releases_nothing [RealFiles, RealProcesses],
        Exclusion::dropping_another_handle_releases_nothing,
        Exclusion::unlocking_another_handle_releases_nothing,
        Exclusion::a_lock_held_for_long_stays_held,
    }
}

fn two_handles_of_one_process_exclude_each_other(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    driver.hold(0, 0)?;
    driver.open(0, 1)?;
    driver.must_be_busy(0, 1, Exclusive, "another handle of this process holds it")?;
    if driver.context.claims.shared {
        driver.must_be_busy(
            0,
            1,
            Shared,
            "another handle of this process holds it exclusively",
        )?;
    }
    driver.unlock(0, 0)?;
    driver.must_acquire(0, 1, Exclusive, "it was unlocked")?;
    Ok(3)
}

fn two_processes_exclude_each_other(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    driver.hold(0, 0)?;
    driver.open(1, 0)?;
    driver.must_be_busy(1, 0, Exclusive, "another process holds it")?;
    if driver.context.claims.shared {
        driver.must_be_busy(1, 0, Shared, "another process holds it exclusively")?;
    }
    driver.unlock(0, 0)?;
    driver.must_acquire(1, 0, Exclusive, "it was unlocked")?;
    driver.must_be_busy(0, 0, Exclusive, "another process holds it")?;
    Ok(4)
}

/// Finds locks that expire while their holder lives, such as lock files that are taken to be stale at a
/// certain age.
fn a_lock_held_for_long_stays_held(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(other, 1)?;
    let long = Duration::from_millis(driver.context.times(3_000));
    thread::sleep(long);
    driver.must_be_busy(other, 1, Exclusive, "it is held, and has been for long")?;
    driver.unlock(0, 0)?;
    driver.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(2)
}

fn readers_share_and_keep_a_writer_out(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    for (process, slot) in [(0, 0), (0, 1), (other, 2)] {
        driver.hold_as(process, slot, Shared)?;
    }
    driver.open(other, 3)?;
    for (process, slot) in [(0, 0), (0, 1), (other, 2)] {
        driver.must_be_busy(other, 3, Exclusive, "there are readers")?;
        driver.unlock(process, slot)?;
    }
    driver.must_acquire(other, 3, Exclusive, "the last reader has gone")?;
    driver.must_be_busy(0, 0, Shared, "there is a writer")?;
    Ok(5)
}

fn a_handle_excludes_those_used_in_other_threads(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    driver.hold(0, 0)?;
    let said = driver.run(0, "try-in-other-threads", &[])?;
    driver.must(
        said == "busy busy busy busy",
        format!("threads of the holder found it {said}"),
    )?;
    Ok(4)
}

fn a_handle_that_holds_refuses_to_be_asked_again(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    let modes = if driver.context.claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    driver.open(other, 1)?;
    driver.open(0, 0)?;
    let mut tried = 0;
    for &held in modes {
        driver.must_acquire(0, 0, held, "nobody holds it")?;
        for &asked in modes {
            for command in [Command::TryLock(0, asked), Command::Start(0, asked)] {
                let answer = driver.ask_to_the_end(0, 0, &command)?;
                let refused = answer.is_kind(std::io::ErrorKind::InvalidInput);
                if !refused && matches!(answer, Answer::Failed { .. }) {
                    return Err(
                        driver.broken(Law::Errors, "it was to be refused with InvalidInput")
                    );
                }
                driver.must(
                    refused,
                    "a handle that holds a lock must refuse another with InvalidInput",
                )?;
                driver.must_be_busy(other, 1, Exclusive, "another handle holds it")?;
                tried += 1;
            }
        }
        driver.unlock(0, 0)?;
    }
    Ok(tried)
}

fn closing_the_file_elsewhere_releases_nothing(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.run(0, "open-and-close", &[])?;
    driver.open(other, 1)?;
    driver.must_be_busy(
        other,
        1,
        Exclusive,
        "it is held: its holder only closed a descriptor of its own on the same file, at which \
         fcntl(2)'s classic locks are lost",
    )?;
    Ok(1)
}

fn dropping_another_handle_releases_nothing(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(0, 1)?;
    driver.drop_handle(0, 1)?;
    driver.open(other, 2)?;
    driver.must_be_busy(
        other,
        2,
        Exclusive,
        "it is held: only another handle was dropped",
    )?;
    Ok(1)
}

fn unlocking_another_handle_releases_nothing(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(0, 1)?;
    driver.must_be_busy(0, 1, Exclusive, "another handle holds it")?;
    driver.unlock(0, 1)?;
    driver.open(other, 2)?;
    driver.must_be_busy(
        other,
        2,
        Exclusive,
        "it is held: only another handle was unlocked",
    )?;
    Ok(2)
}

fn one_attempt_in_thousands_is_not_granted_twice(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (attempts, other) = (driver.context.times(10_000), driver.other());
    driver.hold(0, 0)?;
    let said = driver.run(other, "try-many", &[&"exclusive", &attempts])?;
    driver.must(
        said.starts_with("0 acquired, "),
        "somebody holds the lock all the while",
    )?;
    enough(tries(&said), attempts)
}
