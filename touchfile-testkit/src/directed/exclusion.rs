//! Law 1: who keeps whom out.

use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};

use super::case;
use super::cast::Cast;
use crate::Law;
use crate::process::{Answer, Order};
use crate::suite::{Case, Need, Undone};

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Cast<'_>) -> Result<u64, Undone>| {
        case(Law::Exclusion, sentence, needs, play)
    };
    vec![
        case(
            "one_attempt_in_thousands_is_not_granted_twice",
            &[],
            many_attempts,
        ),
        case(
            "two_handles_of_one_process_exclude_each_other",
            &[],
            two_handles,
        ),
        case(
            "two_processes_exclude_each_other",
            &[Need::CrossProcess],
            two_processes,
        ),
        case(
            "readers_share_and_keep_a_writer_out",
            &[Need::Shared],
            readers_and_writer,
        ),
        case(
            "a_handle_excludes_those_used_in_other_threads",
            &[],
            threads,
        ),
        case(
            "a_handle_that_holds_refuses_to_be_asked_again",
            &[],
            asked_again,
        ),
        case(
            "closing_the_file_elsewhere_releases_nothing",
            &[Need::RealFiles, Need::RealProcesses],
            close_elsewhere,
        ),
        case(
            "dropping_another_handle_releases_nothing",
            &[],
            drop_another,
        ),
        case(
            "unlocking_another_handle_releases_nothing",
            &[],
            unlock_another,
        ),
        case("a_lock_held_for_long_stays_held", &[], held_for_long),
    ]
}

fn two_handles(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.hold(0, 0)?;
    cast.open(0, 1)?;
    cast.must_be_busy(0, 1, Exclusive, "another handle of this process holds it")?;
    if cast.bench.claims.shared {
        cast.must_be_busy(
            0,
            1,
            Shared,
            "another handle of this process holds it exclusively",
        )?;
    }
    cast.unlock(0, 0)?;
    cast.must_acquire(0, 1, Exclusive, "it was unlocked")?;
    Ok(3)
}

fn two_processes(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.hold(0, 0)?;
    cast.open(1, 0)?;
    cast.must_be_busy(1, 0, Exclusive, "another process holds it")?;
    if cast.bench.claims.shared {
        cast.must_be_busy(1, 0, Shared, "another process holds it exclusively")?;
    }
    cast.unlock(0, 0)?;
    cast.must_acquire(1, 0, Exclusive, "it was unlocked")?;
    cast.must_be_busy(0, 0, Exclusive, "another process holds it")?;
    Ok(4)
}

/// A lease that runs out while its holder lives, such as the age at which some take a lock file for
/// a dead one's.
fn held_for_long(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.open(other, 1)?;
    let long = Duration::from_millis(cast.bench.times(3_000));
    thread::sleep(long);
    cast.must_be_busy(other, 1, Exclusive, "it is held, and has been for long")?;
    cast.unlock(0, 0)?;
    cast.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(2)
}

fn readers_and_writer(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    for (process, slot) in [(0, 0), (0, 1), (other, 2)] {
        cast.hold_as(process, slot, Shared)?;
    }
    cast.open(other, 3)?;
    for (process, slot) in [(0, 0), (0, 1), (other, 2)] {
        cast.must_be_busy(other, 3, Exclusive, "there are readers")?;
        cast.unlock(process, slot)?;
    }
    cast.must_acquire(other, 3, Exclusive, "the last reader has gone")?;
    cast.must_be_busy(0, 0, Shared, "there is a writer")?;
    Ok(5)
}

fn threads(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.hold(0, 0)?;
    let said = cast.play(0, "try-in-other-threads", &[])?;
    cast.must(
        said == "busy busy busy busy",
        format!("threads of the holder found it {said}"),
    )?;
    Ok(4)
}

fn asked_again(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    let modes = if cast.bench.claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    cast.open(other, 1)?;
    cast.open(0, 0)?;
    let mut tried = 0;
    for &held in modes {
        cast.must_acquire(0, 0, held, "nobody holds it")?;
        for &asked in modes {
            for order in [Order::TryLock(0, asked), Order::Start(0, asked)] {
                let answer = cast.ask(0, &order)?;
                let refused = answer.is_kind(std::io::ErrorKind::InvalidInput);
                if !refused && matches!(answer, Answer::Failed { .. }) {
                    return Err(cast.broken(Law::Errors, "it was to be refused with InvalidInput"));
                }
                cast.must(
                    refused,
                    "a handle that holds a lock must refuse another with InvalidInput",
                )?;
                cast.must_be_busy(other, 1, Exclusive, "another handle holds it")?;
                tried += 1;
            }
        }
        cast.unlock(0, 0)?;
    }
    Ok(tried)
}

fn close_elsewhere(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.play(0, "open-and-close", &[])?;
    cast.open(other, 1)?;
    cast.must_be_busy(
        other,
        1,
        Exclusive,
        "it is held: its holder only closed a descriptor of its own on the same file, at which \
         fcntl(2)'s classic locks are lost",
    )?;
    Ok(1)
}

fn drop_another(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.open(0, 1)?;
    cast.drop_handle(0, 1)?;
    cast.open(other, 2)?;
    cast.must_be_busy(
        other,
        2,
        Exclusive,
        "it is held: only another handle was dropped",
    )?;
    Ok(1)
}

fn unlock_another(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.open(0, 1)?;
    cast.must_be_busy(0, 1, Exclusive, "another handle holds it")?;
    cast.unlock(0, 1)?;
    cast.open(other, 2)?;
    cast.must_be_busy(
        other,
        2,
        Exclusive,
        "it is held: only another handle was unlocked",
    )?;
    Ok(2)
}

fn many_attempts(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (attempts, other) = (cast.bench.times(10_000), cast.other());
    cast.hold(0, 0)?;
    let said = cast.play(other, "try-many", &[&"exclusive", &attempts])?;
    cast.must(
        said == format!("0 acquired, {attempts} busy"),
        "somebody holds the lock all the while",
    )?;
    Ok(attempts)
}
