//! Law 2: who is not kept out.

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::case;
use super::cast::Cast;
use crate::Law;
use crate::suite::{Case, Need, Undone};

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Cast<'_>) -> Result<u64, Undone>| {
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

fn free(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    all_succeed(cast, "exclusive", "nobody else uses the lock")
}

fn beside_a_reader(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold_as(other, 0, Shared)?;
    all_succeed(cast, "shared", "there is nobody but a reader")
}

fn all_succeed(cast: &mut Cast<'_>, mode: &str, why: &str) -> Result<u64, Undone> {
    let attempts = cast.bench.times(3_000);
    let said = cast.play(0, "try-many", &[&mode, &attempts])?;
    cast.must(said == format!("{attempts} acquired, 0 busy"), why)?;
    Ok(attempts)
}

fn another_file(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    let path = cast.stage.path("b.lock");
    cast.hold(0, 0)?;
    for process in [0, other] {
        cast.open_with(process, 1, &path, &OpenOptions::new())?;
        cast.must_acquire(
            process,
            1,
            Exclusive,
            "only the lock of another file is held",
        )?;
        cast.unlock(process, 1)?;
    }
    Ok(2)
}
