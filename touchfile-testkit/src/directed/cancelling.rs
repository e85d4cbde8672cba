//! Laws 3 and 4: what a wait that is given up, or a call that failed, leaves behind.

use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::Exclusive;

use super::case;
use super::cast::{Cast, until};
use crate::Law;
use crate::process::{Answer, Order};
use crate::suite::{Case, Need, Undone};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            Law::CancelSafety,
            "a_thousand_waits_given_up_as_they_are_granted_leave_nothing_behind",
            &[Need::Proc],
            in_a_race,
        ),
        case(
            Law::AcquiredMeansAcquired,
            "a_wait_that_was_given_up_never_takes_the_lock",
            &[],
            takes_it_later,
        ),
        case(
            Law::CancelSafety,
            "a_thousand_waits_given_up_leave_no_lock_thread_or_descriptor",
            &[Need::Proc],
            leaves_nothing,
        ),
        case(
            Law::CancelSafety,
            "a_timeout_is_neither_early_nor_late",
            &[],
            timeouts,
        ),
        case(
            Law::CancelSafety,
            "a_wait_given_up_does_not_delay_the_next",
            &[],
            delays_nobody,
        ),
        case(
            Law::CancelSafety,
            "a_handle_whose_wait_was_given_up_can_lock",
            &[],
            handle_is_usable,
        ),
        case(
            Law::AcquiredMeansAcquired,
            "an_attempt_that_found_the_lock_busy_leaves_nothing_behind",
            &[],
            busy_leaves_nothing,
        ),
        case(
            Law::AcquiredMeansAcquired,
            "dropping_the_handle_of_a_waiter_leaves_nothing_behind",
            &[],
            drop_waiting,
        ),
    ]
}

fn takes_it_later(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (rounds, other) = (cast.bench.times(30), cast.other());
    cast.open(0, 0)?;
    cast.open(0, 1)?;
    for _ in 0..rounds {
        cast.must_acquire(0, 0, Exclusive, "the only waiter gave up")?;
        cast.open(other, 2)?;
        cast.wait(other, 2, Exclusive)?;
        cast.must_be_done(other, &Order::Cancel(2))?;
        cast.unlock(0, 0)?;
        // Something that was left behind may take a while to take it.
        for _ in 0..3 {
            cast.must_acquire(
                0,
                1,
                Exclusive,
                "nobody holds it: the only waiter gave up before it was unlocked",
            )?;
            cast.unlock(0, 1)?;
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(rounds)
}

fn leaves_nothing(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (waits, other) = (
        cast.bench.times(1_000),
        usize::from(cast.bench.claims.cross_process),
    );
    cast.stage.new_worker(other)?;
    cast.hold(0, 0)?;
    nothing_left(cast, other, |cast| give_up(cast, other, waits))?;
    cast.unlock(0, 0)?;
    cast.must_acquire(0, 0, Exclusive, "all waiters have given up")?;
    Ok(waits)
}

fn in_a_race(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (waits, other) = (
        cast.bench.times(1_000),
        usize::from(cast.bench.claims.cross_process),
    );
    if other == 0 {
        return Err(Undone::Skipped(
            "the backend does not claim `cross_process`".into(),
        ));
    }
    cast.stage.new_worker(1)?;
    cast.hold(0, 0)?;
    cast.unlock(0, 0)?;
    let race = cast.scene("give-up-waits-in-a-race", &[&waits]);
    nothing_left(cast, 1, |cast| {
        cast.tell(1, &race)?;
        cast.play(0, "lock-and-unlock", &[&waits, &300])?;
        cast.played(1, &race).map(drop)
    })?;
    cast.open(0, 0)?;
    for _ in 0..3 {
        cast.must_acquire(0, 0, Exclusive, "all waiters have given up")?;
        cast.unlock(0, 0)?;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(waits)
}

/// Waits for a lock that somebody holds, and gives up, so many times.
fn give_up(cast: &mut Cast<'_>, process: usize, waits: u64) -> Result<(), Undone> {
    let said = cast.play(process, "give-up-waits", &[&waits])?;
    if said.starts_with("got") {
        return Err(cast.broken(Law::Exclusion, "a waiter got a lock that somebody holds"));
    }
    Ok(())
}

/// Whether `waits` leave nothing behind in a process.
///
/// What a backend makes for its first wait and keeps for all others is no leak: something is left
/// behind only if there is more of it each time.
fn nothing_left<'b>(
    cast: &mut Cast<'b>,
    process: usize,
    mut waits: impl FnMut(&mut Cast<'b>) -> Result<(), Undone>,
) -> Result<(), Undone> {
    waits(cast)?;
    let mut before = cast.ask(process, &Order::Belongings)?;
    let mut after = before.clone();
    for _ in 0..2 {
        waits(cast)?;
        // Threads may take a moment to end.
        let no_more = until(cast.bench.patience, || {
            after = cast.ask(process, &Order::Belongings)?;
            Ok(is_no_more(&after, &before))
        })?;
        if no_more {
            return Ok(());
        }
        std::mem::swap(&mut before, &mut after);
    }
    // The latest two, in the order in which they came.
    let (Answer::Text(after), Answer::Text(before)) = (&before, &after) else {
        return Err(Undone::Failed(
            "what a process has could not be counted".into(),
        ));
    };
    Err(cast.broken(
        Law::CancelSafety,
        format!("the waits left something behind: {before} became {after}"),
    ))
}

/// Whether somebody has no more of anything than before. Less is nothing to complain of: a pool of
/// threads may have shrunk.
fn is_no_more(after: &Answer, before: &Answer) -> bool {
    let counts = |answer: &Answer| -> Vec<u64> {
        let Answer::Text(text) = answer else {
            return Vec::new();
        };
        let words = text.split(|c: char| !c.is_ascii_digit());
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (after, before) = (counts(after), counts(before));
    !after.is_empty()
        && after.len() == before.len()
        && after
            .iter()
            .zip(&before)
            .all(|(after, before)| after <= before)
}

fn timeouts(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    let mut tried = 0;
    for timeout_ms in [0_u64, 1, 20, 300] {
        let said = cast.play(other, "wait-with-a-timeout", &[&timeout_ms])?;
        let Some(waited_ms) = said
            .strip_prefix("timed out after ")
            .and_then(|ms| ms.parse::<u64>().ok())
        else {
            let law = if said == "acquired" {
                Law::Exclusion
            } else {
                Law::Errors
            };
            return Err(cast.broken(
                law,
                "the lock was held: the wait was to last until its timeout",
            ));
        };
        cast.must(waited_ms >= timeout_ms, "the timeout was early")?;
        cast.must(
            Duration::from_millis(waited_ms - timeout_ms) < cast.bench.patience,
            "the timeout was late",
        )?;
        tried += 1;
    }
    Ok(tried)
}

fn delays_nobody(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    for slot in [1, 2] {
        cast.open(other, slot)?;
        cast.wait(other, slot, Exclusive)?;
    }
    cast.must_be_done(other, &Order::Cancel(1))?;
    cast.unlock(0, 0)?;
    cast.must_be_granted(other, 2, "the only other waiter gave up")?;
    Ok(1)
}

fn handle_is_usable(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.open(other, 1)?;
    cast.wait(other, 1, Exclusive)?;
    cast.must_be_done(other, &Order::Cancel(1))?;
    cast.must_be_busy(other, 1, Exclusive, "another handle holds it")?;
    cast.unlock(0, 0)?;
    cast.must_acquire(other, 1, Exclusive, "nobody holds it")?;
    cast.must_be_busy(0, 0, Exclusive, "a handle whose wait was given up holds it")?;
    Ok(3)
}

fn busy_leaves_nothing(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.hold(0, 0)?;
    cast.open(0, 2)?;
    cast.open(other, 1)?;
    for _ in 0..20 {
        cast.must_be_busy(other, 1, Exclusive, "another handle holds it")?;
        cast.unlock(0, 0)?;
        cast.must_acquire(
            0,
            2,
            Exclusive,
            "nobody holds it: an attempt that found it busy is over",
        )?;
        cast.unlock(0, 2)?;
        cast.must_acquire(0, 0, Exclusive, "it was unlocked")?;
    }
    Ok(20)
}

fn drop_waiting(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.open(0, 1)?;
    cast.hold(0, 0)?;
    cast.open(other, 2)?;
    cast.wait(other, 2, Exclusive)?;
    cast.drop_handle(other, 2)?;
    cast.unlock(0, 0)?;
    cast.must_acquire(
        0,
        1,
        Exclusive,
        "nobody holds it: the handle of the only waiter was dropped",
    )?;
    Ok(1)
}
