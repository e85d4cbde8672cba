//! Law 9: contention is no error, and errors can be told apart.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::driver::{Driver, linked};
use crate::Law;
use crate::case::{Case, Undone};
use crate::process::{Answer, Command};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Errors::contention_is_no_error,
        Errors::a_missing_file_that_is_not_to_be_created_is_not_found,
        Errors::a_missing_directory_is_not_found [RealFiles, RealProcesses],
        Errors::a_file_is_no_directory_for_lock_files [RealFiles, RealProcesses],
        Errors::a_link_that_leads_nowhere_is_not_followed [RealFiles, RealProcesses],
        Errors::a_fifo_does_not_hang_whoever_opens_it [RealFiles, RealProcesses],
        Errors::opening_changes_nothing_in_a_file [RealFiles, RealProcesses],
    }
}

fn contention_is_no_error(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(other, 1)?;
    let modes = if driver.context.claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    for &mode in modes {
        match driver.try_lock(other, 1, mode)? {
            Answer::WouldBlock => {}
            Answer::Acquired => {
                return Err(driver.broken(
                    Law::Exclusion,
                    "it got the lock, but another handle holds it",
                ));
            }
            answer => return Err(driver.wrong(&answer)),
        }
    }
    Ok(2)
}

fn a_missing_file_that_is_not_to_be_created_is_not_found(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let path = driver.path();
    let mut options = OpenOptions::new();
    options.create = false;
    let answer = driver.ask(0, &Command::Open(0, path.clone(), options.clone()))?;
    if answer.is_kind(ErrorKind::Unsupported) {
        return Ok(1); // the backend has no files that could be missing
    }
    driver.must(
        answer.is_kind(ErrorKind::NotFound),
        "the file is missing: the kind of error must be NotFound, or Unsupported if there is \
         nothing to be missing",
    )?;
    driver.must(
        !driver.fixture.exists(&path),
        "a file was created that was not to be",
    )?;
    driver.open(0, 0)?;
    driver.open_with(0, 1, &path, &options)?;
    Ok(2)
}

fn a_missing_directory_is_not_found(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.fixture.path("missing").join("a.lock");
    let answer = driver.ask(0, &Command::Open(0, path, OpenOptions::new()))?;
    driver.must(
        answer.is_kind(ErrorKind::NotFound),
        "the directory is missing: the kind of error must be NotFound",
    )?;
    Ok(1)
}

fn a_file_is_no_directory_for_lock_files(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let file = driver.fixture.path("file");
    fs::write(&file, "")?;
    let answer = driver.ask(
        0,
        &Command::Open(0, file.join("a.lock"), OpenOptions::new()),
    )?;
    let right = matches!(answer, Answer::Failed { .. }) && !answer.is_kind(ErrorKind::WouldBlock);
    driver.must(
        right,
        "a file is no directory: opening must fail, and not as if the lock were held",
    )?;
    Ok(1)
}

fn a_link_that_leads_nowhere_is_not_followed(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (path, target) = (driver.path(), driver.fixture.path("target"));
    linked(crate::system::symlink(&target, &path))?;
    driver.ask(0, &Command::Open(0, path, OpenOptions::new()))?;
    driver.must(!driver.fixture.exists(&target), "a link was followed, though `follow_symlinks` was not set, and a file created where it leads")?;
    Ok(1)
}

fn a_fifo_does_not_hang_whoever_opens_it(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    if !make_fifo(&path) {
        return Err(Undone::Skipped("a FIFO cannot be made here".into()));
    }
    // The backend may refuse it or not, but must not wait.
    driver.ask(0, &Command::Open(0, path, OpenOptions::new()))?;
    Ok(1)
}

fn opening_changes_nothing_in_a_file(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    fs::write(&path, "precious")?;
    driver.hold(0, 0)?;
    driver.unlock(0, 0)?;
    driver.drop_handle(0, 0)?;
    let left = fs::read_to_string(&path).unwrap_or_default();
    driver.must(
        left == "precious",
        format!("the file said \"precious\" and now says {left:?}"),
    )?;
    Ok(1)
}

fn make_fifo(path: &Path) -> bool {
    // rustix makes none on macOS.
    let made = std::process::Command::new("mkfifo").arg(path).status();
    made.is_ok_and(|status| status.success())
}
