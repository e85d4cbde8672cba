//! Law 9: contention is no error, and errors are told apart.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::case;
use super::driver::{Driver, linked};
use crate::Law;
use crate::case::{Case, Need, Undone};
use crate::process::{Answer, Command};

const FILES: &[Need] = &[Need::RealFiles, Need::RealProcesses];

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Driver<'_>) -> Result<u64, Undone>| {
        case(Law::Errors, sentence, needs, play)
    };
    vec![
        case("contention_is_no_error", &[], contention),
        case(
            "a_missing_file_that_is_not_to_be_created_is_not_found",
            &[],
            not_created,
        ),
        case("a_missing_directory_is_not_found", FILES, missing_directory),
        case(
            "a_file_is_no_directory_for_lock_files",
            FILES,
            file_as_directory,
        ),
        case(
            "a_link_that_leads_nowhere_is_not_followed",
            FILES,
            planted_link,
        ),
        case("a_fifo_does_not_hang_whoever_opens_it", FILES, fifo),
        case("opening_changes_nothing_in_a_file", FILES, contents),
    ]
}

fn contention(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold(0, 0)?;
    driver.open(other, 1)?;
    let modes = if driver.bench.claims.shared {
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

fn not_created(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    let mut options = OpenOptions::new();
    options.create = false;
    let answer = driver.ask(0, &Command::Open(0, path.clone(), options.clone()))?;
    if answer.is_kind(ErrorKind::Unsupported) {
        return Ok(1); // it has no files that could be missing, and says so
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

fn missing_directory(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.fixture.path("missing").join("a.lock");
    let answer = driver.ask(0, &Command::Open(0, path, OpenOptions::new()))?;
    driver.must(
        answer.is_kind(ErrorKind::NotFound),
        "the directory is missing: the kind of error must be NotFound",
    )?;
    Ok(1)
}

fn file_as_directory(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let file = driver.fixture.path("file");
    fs::write(&file, "")?;
    let answer = driver.ask(
        0,
        &Command::Open(0, file.join("a.lock"), OpenOptions::new()),
    )?;
    let told = matches!(answer, Answer::Failed { .. }) && !answer.is_kind(ErrorKind::WouldBlock);
    driver.must(
        told,
        "a file is no directory: opening must fail, and not as if the lock were held",
    )?;
    Ok(1)
}

fn planted_link(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (path, target) = (driver.path(), driver.fixture.path("target"));
    linked(std::os::unix::fs::symlink(&target, &path))?;
    driver.ask(0, &Command::Open(0, path, OpenOptions::new()))?;
    driver.must(!driver.fixture.exists(&target), "a link was followed, though `follow_symlinks` was not set, and a file created where it leads")?;
    Ok(1)
}

fn fifo(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let path = driver.path();
    if !make_fifo(&path) {
        return Err(Undone::Skipped("a FIFO cannot be made here".into()));
    }
    // It may be refused or not, but at once.
    driver.ask(0, &Command::Open(0, path, OpenOptions::new()))?;
    Ok(1)
}

fn contents(driver: &mut Driver<'_>) -> Result<u64, Undone> {
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
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).is_ok()
}
