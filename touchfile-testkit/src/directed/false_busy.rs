//! Law 2: an attempt is not refused without reason.

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::driver::{Driver, tries};
use crate::case::{Case, Undone, enough};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        NoFalseBusy::thousands_of_attempts_on_a_free_lock_all_succeed,
        NoFalseBusy::thousands_of_attempts_beside_a_reader_all_succeed [Shared],
        NoFalseBusy::the_lock_of_another_file_does_not_matter,
    }
}

fn thousands_of_attempts_on_a_free_lock_all_succeed(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    all_succeed(driver, "exclusive", "nobody else uses the lock")
}

fn thousands_of_attempts_beside_a_reader_all_succeed(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold_as(other, 0, Shared)?;
    all_succeed(driver, "shared", "there is nobody but a reader")
}

fn all_succeed(driver: &mut Driver<'_>, mode: &str, why: &str) -> Result<u64, Undone> {
    let attempts = driver.context.times(3_000);
    let said = driver.run(0, "try-many", &[&mode, &attempts])?;
    driver.must(said.ends_with(" acquired, 0 busy"), why)?;
    enough(tries(&said), attempts)
}

fn the_lock_of_another_file_does_not_matter(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    let path = driver.fixture.path("b.lock");
    driver.hold(0, 0)?;
    for process in [0, other] {
        driver.open_with(process, 1, &path, &OpenOptions::new())?;
        driver.must_acquire(
            process,
            1,
            Exclusive,
            "only the lock of another file is held",
        )?;
        driver.unlock(process, 1)?;
    }
    Ok(2)
}
