//! Law 6: children do not change the locks of their parents.

use touchfile_core::LockMode::Exclusive;

use super::driver::{Driver, tries};
use crate::case::{Case, Undone, enough};
use crate::process::{Answer, Command};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        ForkAndExec::children_between_fork_and_exec_do_not_prolong_a_lock [CrossProcess, ForkSafe, RealProcesses],
        ForkAndExec::a_child_that_drops_its_copy_of_a_handle_releases_nothing [CrossProcess, ForkSafe, RealProcesses],
        ForkAndExec::a_child_that_lives_on_does_not_prolong_an_unlocked_lock [CrossProcess, ForkSafe, RealProcesses],
        ForkAndExec::a_child_that_lives_on_does_not_prolong_a_dropped_lock [CrossProcess, ForkSafe, RealProcesses],
        ForkAndExec::a_program_that_is_executed_does_not_inherit_the_lock [CrossProcess, CrashRelease, ForkSafe, RealProcesses],
    }
}

fn a_child_that_drops_its_copy_of_a_handle_releases_nothing(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    driver.open(1, 0)?;
    driver.hold(0, 0)?;
    driver.must_be_busy(1, 0, Exclusive, "another process holds it")?;
    for _ in 0..5 {
        driver.must_be_done(0, &Command::ForkAndDrop(0))?;
        driver.must_still_be_busy(
            1,
            0,
            Exclusive,
            "only a child of its holder dropped its copy of the handle",
        )?;
    }
    driver.unlock(0, 0)?;
    driver.must_acquire(1, 0, Exclusive, "it was unlocked")?;
    Ok(5)
}

fn a_child_that_lives_on_does_not_prolong_an_unlocked_lock(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    driver.hold(0, 0)?;
    driver.must_be_done(0, &Command::Fork)?;
    driver.unlock(0, 0)?;
    driver.open(1, 0)?;
    driver.must_acquire(
        1,
        0,
        Exclusive,
        "it was unlocked, though a child has copies of all descriptors",
    )?;
    driver.must_be_done(0, &Command::EndChildren)?;
    Ok(1)
}

fn a_child_that_lives_on_does_not_prolong_a_dropped_lock(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    driver.hold(0, 0)?;
    driver.must_be_done(0, &Command::Fork)?;
    driver.drop_handle(0, 0)?;
    driver.open(1, 0)?;
    driver.must_acquire(
        1,
        0,
        Exclusive,
        "its handle was dropped, though a child has copies of all descriptors",
    )?;
    driver.must_be_done(0, &Command::EndChildren)?;
    Ok(1)
}

fn a_program_that_is_executed_does_not_inherit_the_lock(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    driver.hold(0, 0)?;
    match driver.ask(0, &Command::Spawn)? {
        Answer::Pid(pid) => driver.fixture.remember_child(pid),
        Answer::Unable(why) => return Err(Undone::Skipped(why)),
        answer => return Err(driver.wrong(&answer)),
    }
    driver.kill(0);
    driver.open(1, 0)?;
    driver.must_acquire(
        1,
        0,
        Exclusive,
        "its holder was killed: only a program lives that the holder executed, which must not have \
         inherited the descriptor",
    )?;
    Ok(1)
}

fn children_between_fork_and_exec_do_not_prolong_a_lock(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let rounds = driver.context.times(30);
    let (mut turns, mut planned) = (0, 0);
    driver.fixture.new_process(0)?;
    driver.open(1, 0)?;
    for round in 0..rounds {
        if !(driver.context.progress)(round, rounds) {
            break;
        }
        planned += 20;
        turns += tries(&driver.run(0, "lock-and-unlock-while-spawning", &[&20])?);
        driver.must_acquire(
            1,
            0,
            Exclusive,
            "it was unlocked, though children were just being forked and executed",
        )?;
        driver.unlock(1, 0)?;
    }
    enough(turns, planned)?;
    Ok(rounds)
}
