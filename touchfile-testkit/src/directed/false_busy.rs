//! Law 2: who is not kept out.

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::case;
use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Need, Undone};

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Driver<'_>) -> Result<u64, Undone>| {
        case(Law::NoFalseBusy, sentence, needs, play)
    };
    vec![
        case(
            "thousands_of_attempts_on_a_free_lock_all_succeed",
            &[],
            free,
        ),
        case(
            "thousands_of_attempts_beside_a_reader_all_succeed",
            &[Need::Shared],
            beside_a_reader,
        ),
        case(
            "the_lock_of_another_file_does_not_matter",
            &[],
            another_file,
        ),
    ]
}

fn free(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    all_succeed(driver, "exclusive", "nobody else uses the lock")
}

fn beside_a_reader(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let other = driver.other();
    driver.hold_as(other, 0, Shared)?;
    all_succeed(driver, "shared", "there is nobody but a reader")
}

fn all_succeed(driver: &mut Driver<'_>, mode: &str, why: &str) -> Result<u64, Undone> {
    let attempts = driver.bench.times(3_000);
    let said = driver.run(0, "try-many", &[&mode, &attempts])?;
    driver.must(said == format!("{attempts} acquired, 0 busy"), why)?;
    Ok(attempts)
}

fn another_file(driver: &mut Driver<'_>) -> Result<u64, Undone> {
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
