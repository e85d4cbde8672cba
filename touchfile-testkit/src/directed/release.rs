//! Law 5: what lets go.

use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::case;
use super::cast::Cast;
use crate::Law;
use crate::suite::{Case, Need, Undone};

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Cast<'_>) -> Result<u64, Undone>| {
        case(Law::Release, sentence, needs, play)
    };
    vec![
        case(
            "a_process_killed_at_any_moment_leaves_nothing_locked",
            &[Need::CrossProcess, Need::CrashRelease, Need::RealProcesses],
            killed_at_any_moment,
        ),
        case("unlocking_releases", &[], unlocking),
        case("dropping_the_handle_releases", &[], dropping),
        case(
            "the_end_of_the_process_releases",
            &[Need::CrossProcess, Need::CrashRelease, Need::RealProcesses],
            ending,
        ),
        case(
            "sigkill_releases",
            &[Need::CrossProcess, Need::CrashRelease],
            killing,
        ),
        case(
            "dropping_the_handle_needs_no_runtime",
            &[],
            without_a_runtime,
        ),
        case(
            "dropping_the_handle_in_another_thread_releases",
            &[],
            in_another_thread,
        ),
        case(
            "unlocking_what_is_not_held_is_no_error",
            &[],
            unlocking_nothing,
        ),
        case("a_released_handle_locks_again", &[], locks_again),
        case(
            "a_reader_that_lets_go_leaves_the_others_their_locks",
            &[Need::Shared],
            one_of_two_readers,
        ),
    ]
}

fn unlocking(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.unlock(0, 0)?;
    cast.open(other, 1)?;
    cast.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(1)
}

fn dropping(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.drop_handle(0, 0)?;
    cast.open(other, 1)?;
    cast.must_acquire(other, 1, Exclusive, "its holder dropped the handle")?;
    Ok(1)
}

fn ending(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.stage.new_worker(1)?;
    cast.hold(1, 0)?;
    cast.stage.finish(1);
    cast.note("process 1 ends by itself");
    cast.open(0, 0)?;
    cast.must_acquire(0, 0, Exclusive, "the process that held it has ended")?;
    Ok(1)
}

fn killing(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.open(0, 0)?;
    let modes = if cast.bench.claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    for &mode in modes {
        cast.hold_as(1, 0, mode)?;
        cast.must_be_busy(0, 0, Exclusive, "another process holds it")?;
        cast.kill(1);
        cast.must_acquire(0, 0, Exclusive, "the process that held it was killed")?;
        cast.unlock(0, 0)?;
    }
    Ok(2)
}

/// At whatever step of an acquisition it is.
fn killed_at_any_moment(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let rounds = cast.bench.times(60);
    cast.open(0, 0)?;
    let order = cast.scene("lock-and-unlock-for-ever", &[]);
    for round in 0..rounds {
        if !(cast.bench.progress)(round, rounds) {
            break;
        }
        cast.tell(1, &order)?;
        // From the first system calls of the process's first lock to some thousand locks later.
        thread::sleep(Duration::from_micros(round % 20 * 150));
        cast.kill(1);
        cast.must_acquire(
            0,
            0,
            Exclusive,
            "the only other process that locks was killed",
        )?;
        cast.unlock(0, 0)?;
    }
    Ok(rounds)
}

fn without_a_runtime(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    after_scene(cast, "drop-without-a-runtime")
}

fn in_another_thread(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    after_scene(cast, "drop-in-another-thread")
}

fn after_scene(cast: &mut Cast<'_>, scene: &str) -> Result<u64, Undone> {
    let other = cast.other();
    cast.play(0, scene, &[])?;
    cast.open(other, 1)?;
    cast.must_acquire(other, 1, Exclusive, "its holder dropped the handle")?;
    Ok(1)
}

fn unlocking_nothing(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.open(0, 0)?;
    cast.unlock(0, 0)?;
    cast.must_acquire(0, 0, Exclusive, "nobody holds it")?;
    cast.unlock(0, 0)?;
    cast.unlock(0, 0)?;
    Ok(2)
}

fn locks_again(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.open(0, 0)?;
    cast.open(other, 1)?;
    for _ in 0..20 {
        cast.must_acquire(0, 0, Exclusive, "it was unlocked")?;
        cast.must_be_busy(
            other,
            1,
            Exclusive,
            "a handle that was unlocked before holds it again",
        )?;
        cast.unlock(0, 0)?;
        cast.must_acquire(other, 1, Exclusive, "it was unlocked")?;
        cast.unlock(other, 1)?;
    }
    Ok(60)
}

fn one_of_two_readers(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    let path = cast.path();
    cast.open_with(0, 2, &path, &OpenOptions::new())?;
    let mut tried = 0;
    for reader in [0, other] {
        for drops in [false, true] {
            cast.hold_as(0, 0, Shared)?;
            cast.hold_as(reader, 1, Shared)?;
            if drops {
                cast.drop_handle(0, 0)?;
            } else {
                cast.unlock(0, 0)?;
            }
            cast.must_be_busy(0, 2, Exclusive, "another reader holds it still")?;
            cast.unlock(reader, 1)?;
            tried += 1;
        }
    }
    Ok(tried)
}
