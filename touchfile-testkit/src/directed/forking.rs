//! Law 6: what children do to the locks of their parents, which is nothing.

use touchfile_core::LockMode::Exclusive;

use super::case;
use super::cast::Cast;
use crate::Law;
use crate::process::{Answer, Order};
use crate::suite::{Case, Need, Undone};

const FORKS: &[Need] = &[Need::CrossProcess, Need::ForkSafe, Need::RealProcesses];

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Cast<'_>) -> Result<u64, Undone>| {
        case(Law::ForkAndExec, sentence, needs, play)
    };
    vec![
        case(
            "children_between_fork_and_exec_do_not_prolong_a_lock",
            FORKS,
            storm,
        ),
        case(
            "a_child_that_drops_its_copy_of_a_handle_releases_nothing",
            FORKS,
            child_drops,
        ),
        case(
            "a_child_that_lives_on_does_not_prolong_an_unlocked_lock",
            FORKS,
            unlock_with_child,
        ),
        case(
            "a_child_that_lives_on_does_not_prolong_a_dropped_lock",
            FORKS,
            drop_with_child,
        ),
        case(
            "a_program_that_is_executed_does_not_inherit_the_lock",
            &[
                Need::CrossProcess,
                Need::CrashRelease,
                Need::ForkSafe,
                Need::RealProcesses,
            ],
            exec,
        ),
    ]
}

fn child_drops(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.open(1, 0)?;
    cast.hold(0, 0)?;
    cast.must_be_busy(1, 0, Exclusive, "another process holds it")?;
    for _ in 0..5 {
        cast.must_be_done(0, &Order::ForkAndDrop(0))?;
        cast.must_still_be_busy(
            1,
            0,
            Exclusive,
            "only a child of its holder dropped its copy of the handle",
        )?;
    }
    cast.unlock(0, 0)?;
    cast.must_acquire(1, 0, Exclusive, "it was unlocked")?;
    Ok(5)
}

fn unlock_with_child(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.hold(0, 0)?;
    cast.must_be_done(0, &Order::Fork)?;
    cast.unlock(0, 0)?;
    cast.open(1, 0)?;
    cast.must_acquire(
        1,
        0,
        Exclusive,
        "it was unlocked, though a child has copies of all descriptors",
    )?;
    cast.must_be_done(0, &Order::EndChildren)?;
    Ok(1)
}

fn drop_with_child(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.hold(0, 0)?;
    cast.must_be_done(0, &Order::Fork)?;
    cast.drop_handle(0, 0)?;
    cast.open(1, 0)?;
    cast.must_acquire(
        1,
        0,
        Exclusive,
        "its handle was dropped, though a child has copies of all descriptors",
    )?;
    cast.must_be_done(0, &Order::EndChildren)?;
    Ok(1)
}

fn exec(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    cast.hold(0, 0)?;
    match cast.ask(0, &Order::Spawn)? {
        Answer::Pid(pid) => cast.stage.remember_child(pid),
        Answer::Unable(why) => return Err(Undone::Skipped(why)),
        answer => return Err(cast.wrong(&answer)),
    }
    cast.kill(0);
    cast.open(1, 0)?;
    cast.must_acquire(
        1,
        0,
        Exclusive,
        "its holder was killed: only a program lives that the holder executed, which must not have \
         inherited the descriptor",
    )?;
    Ok(1)
}

fn storm(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let rounds = cast.bench.times(30);
    cast.stage.new_worker(0)?;
    cast.open(1, 0)?;
    for round in 0..rounds {
        if !(cast.bench.progress)(round, rounds) {
            break;
        }
        cast.play(0, "lock-and-unlock-while-spawning", &[&20])?;
        cast.must_acquire(
            1,
            0,
            Exclusive,
            "it was unlocked, though children were just being forked and executed",
        )?;
        cast.unlock(1, 0)?;
    }
    Ok(rounds)
}
