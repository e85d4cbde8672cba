//! What a backend claims holds, and what it does not claim is refused.

use std::fs;
use std::io::ErrorKind;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Undone};
use crate::process::{Answer, Command};
use crate::system;

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Capabilities::shared_locks_are_there_or_refused,
        Capabilities::removal_on_release_happens_or_is_refused,
        Capabilities::the_question_of_identity_is_answered_or_refused,
        Capabilities::a_file_without_write_permission_can_be_locked_or_is_refused,
        Capabilities::a_new_file_has_the_mode_that_was_asked_for [RealFiles, RealProcesses],
        Capabilities::claims_do_not_change,
    }
}

fn shared_locks_are_there_or_refused(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.open(0, 0)?;
    driver.open(other, 1)?;
    if driver.context.claims.shared {
        driver.must_acquire(0, 0, Shared, "nobody holds it")?;
        driver.must_share(other, 1)?;
        return Ok(2);
    }
    for command in [Command::TryLock(0, Shared), Command::Start(0, Shared)] {
        let answer = driver.ask_to_the_end(0, 0, &command)?;
        driver.must(
            answer.is_kind(ErrorKind::Unsupported),
            "shared locks are not claimed: they must be refused with Unsupported",
        )?;
        match driver.try_lock(other, 1, Exclusive)? {
            Answer::Acquired => driver.unlock(other, 1)?,
            Answer::WouldBlock => {
                return Err(driver.broken(
                    Law::AcquiredMeansAcquired,
                    "the refused call has taken the lock",
                ));
            }
            answer => return Err(driver.wrong(&answer)),
        }
    }
    Ok(2)
}

fn removal_on_release_happens_or_is_refused(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    let open = Command::Open(0, path.clone(), options);
    if !driver.context.claims.remove_on_release {
        let answer = driver.ask(0, &open)?;
        driver.must(
            answer.is_kind(ErrorKind::Unsupported),
            "`remove_on_release` is not claimed: it must be refused with Unsupported",
        )?;
        return Ok(1);
    }
    for release in [Command::Unlock(0), Command::Drop(0)] {
        driver.must_be_done(0, &open)?;
        driver.must_acquire(0, 0, Exclusive, "nobody holds it")?;
        driver.must(
            driver.fixture.exists(&path),
            "the file is not there while it is held",
        )?;
        driver.must_be_done(0, &release)?;
        driver.must(
            !driver.fixture.exists(&path),
            "`remove_on_release` is claimed, but the file is there after its last holder let go",
        )?;
    }
    Ok(2)
}

fn the_question_of_identity_is_answered_or_refused(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    driver.open(0, 0)?;
    let answer = driver.ask(0, &Command::IsCurrent(0, path))?;
    let right = answer == Answer::Yes
        || (!driver.context.claims.identity && answer.is_kind(ErrorKind::Unsupported));
    driver.must(right, "the handle is current: it must say so, or refuse with Unsupported if `identity` is not claimed")?;
    Ok(1)
}

fn a_file_without_write_permission_can_be_locked_or_is_refused(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let path = driver.path();
    if !driver.fixture.make_read_only(&path)? {
        return Err(Undone::Skipped("this user may write to every file".into()));
    }
    let opened = driver.ask(0, &Command::Open(0, path, OpenOptions::new()))?;
    if driver.context.claims.exclusive_read_only {
        driver.must(
            opened == Answer::Done,
            "`exclusive_read_only` is claimed, but the file cannot be opened",
        )?;
        driver.must_acquire(0, 0, Exclusive, "`exclusive_read_only` is claimed")?;
        return Ok(1);
    }
    let refused = match opened {
        Answer::Done => driver.try_lock(0, 0, Exclusive)?,
        refused => refused,
    };
    // A backend that does not lock the file itself may lock it all the same.
    let right = refused == Answer::Acquired
        || refused.is_kind(ErrorKind::Unsupported)
        || refused.is_kind(ErrorKind::PermissionDenied);
    driver.must(right, "the file cannot be written to and `exclusive_read_only` is not claimed: that must be refused with Unsupported")?;
    Ok(1)
}

fn a_new_file_has_the_mode_that_was_asked_for(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    let mut options = OpenOptions::new();
    options.create_mode = Some(0o640);
    let answer = driver.ask(0, &Command::Open(0, path.clone(), options))?;
    if answer.is_kind(ErrorKind::Unsupported) {
        return Ok(1);
    }
    driver.must(
        answer == Answer::Done,
        "a mode must be honoured, or refused with Unsupported",
    )?;
    // A backend may make its file when it locks.
    let metadata = fs::metadata(&path).ok();
    if let Some(bits) = metadata.and_then(|metadata| system::mode(&metadata)) {
        driver.must(
            bits == 0o640,
            format!("the file's mode is {bits:o}, but 640 was asked for"),
        )?;
    }
    Ok(1)
}

fn claims_do_not_change(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let said = driver.run(0, "claim-again-and-again", &[])?;
    driver.must(
        said == "the same",
        "capabilities are constant for the life of a backend",
    )?;
    let claims = driver.context.claims;
    let there = driver.run(0, "claims", &[])?;
    driver.must(
        there == format!("{claims:?}"),
        format!("a worker claims {there}, the suite's own process {claims:?}"),
    )?;
    Ok(2)
}
