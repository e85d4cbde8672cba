//! Cases whose script makes all calls in one process and judges the answers itself.

use std::fmt::Display;

use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Context, Outcome, Undone, enough};
use crate::process::{Answer, ScriptOutcome};
use crate::walk::Style;

/// The longest time of a walk. On a busy machine or with a slow backend it has fewer steps.
const LONGEST_MS: u64 = 2_500;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases! {
        AcquiredMeansAcquired::no_call_leaves_anything_behind [Proc],
    };
    cases.extend(cases_of_all_laws! {
        walk::one_process_does_everything_at_random,
        walk::paths_and_files_of_every_kind [RealFiles, RealProcesses],
        walk::handles_that_have_locked_a_thousand_times,
        walk::many_readers_and_many_handles,
        walk::forked_children_do_everything_at_random [CrossProcess, ForkSafe, RealProcesses],
    });
    cases.extend(cases! {
        Exclusion::two_threads_that_try_at_the_same_moment_exclude_each_other,
        Exclusion::locks_that_are_held_for_long_stay_held,
        Exclusion::two_children_of_one_parent_exclude_each_other [CrossProcess, ForkSafe, RealProcesses],
        Exclusion::nobody_gets_in_while_a_lock_changes_its_mode [AtomicConversion, Shared],
        Liveness::a_release_at_the_beginning_of_a_wait_is_not_missed,
        Errors::what_cannot_be_opened_fails_as_the_system_says [RealFiles, RealProcesses],
        Errors::what_a_user_may_not_open_fails_as_the_system_says [RealFiles, Proc],
        Capabilities::a_user_locks_a_file_without_write_permission_or_is_refused [RealFiles, Proc],
    });
    cases
}

fn one_process_does_everything_at_random(context: &Context<'_>) -> Outcome {
    walk(context, Style::Mixed, 6_000, "walk")
}

fn paths_and_files_of_every_kind(context: &Context<'_>) -> Outcome {
    walk(context, Style::Everywhere, 5_000, "walk")
}

fn handles_that_have_locked_a_thousand_times(context: &Context<'_>) -> Outcome {
    walk(context, Style::Worn, 5_000, "walk")
}

fn many_readers_and_many_handles(context: &Context<'_>) -> Outcome {
    walk(context, Style::Crowded, 4_000, "walk")
}

fn forked_children_do_everything_at_random(context: &Context<'_>) -> Outcome {
    walk(context, Style::Mixed, 1_500, "walk-in-children")
}

fn no_call_leaves_anything_behind(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let patience_ms = ms(driver.context);
    play(driver, "leave-things-behind", &[&patience_ms])
}

fn two_threads_that_try_at_the_same_moment_exclude_each_other(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let (rounds, time_ms) = (driver.context.times(20_000), driver.context.times(700));
    play(driver, "try-at-the-same-moment", &[&rounds, &time_ms])
}

fn locks_that_are_held_for_long_stay_held(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (time_ms, patience_ms) = (driver.context.times(1_200), ms(driver.context));
    play(driver, "hold-for-long", &[&time_ms, &patience_ms])
}

fn two_children_of_one_parent_exclude_each_other(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    play(driver, "siblings", &[])
}

fn nobody_gets_in_while_a_lock_changes_its_mode(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (rounds, patience_ms) = (driver.context.times(40), ms(driver.context));
    play(driver, "convert-in-a-storm", &[&rounds, &patience_ms])
}

fn a_release_at_the_beginning_of_a_wait_is_not_missed(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let context = driver.context;
    let (rounds, time_ms) = (context.times(400), context.times(1_200));
    let words: [&dyn Display; 4] = [&rounds, &time_ms, &ms(context), &context.seed];
    play(driver, "release-early", &words)
}

fn what_cannot_be_opened_fails_as_the_system_says(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    play(driver, "open-in-vain", &[])
}

fn what_a_user_may_not_open_fails_as_the_system_says(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    play_apart(driver, "open-in-vain-as-a-user")
}

fn a_user_locks_a_file_without_write_permission_or_is_refused(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    play_apart(driver, "lock-read-only-as-a-user")
}

fn ms(context: &Context<'_>) -> u128 {
    context.patience.as_millis()
}

fn walk(context: &Context<'_>, style: Style, steps: u64, script: &str) -> Outcome {
    // A walk reports broken laws itself. This law is for a walk that does not end.
    let mut driver = Driver::new(context, Law::Liveness)?;
    let (steps, time_ms) = (context.times(steps), context.times(LONGEST_MS));
    let words: [&dyn Display; 5] = [&style.name(), &context.seed, &steps, &time_ms, &ms(context)];
    let tried = play(&mut driver, script, &words)?;
    Ok(driver.close(tried))
}

fn play(driver: &mut Driver<'_>, script: &str, words: &[&dyn Display]) -> Result<u64, Undone> {
    // A script that hangs breaks liveness, whatever the case is about.
    let law = std::mem::replace(&mut driver.law, Law::Liveness);
    let answer = driver.run_script(0, script, words)?;
    driver.law = law;
    steps_of(driver, answer)
}

/// Runs a script in a process that cannot be used for anything else afterwards.
fn play_apart(driver: &mut Driver<'_>, script: &str) -> Result<u64, Undone> {
    const APART: usize = 1;
    driver.fixture.new_process(APART)?;
    let answer = driver.run_script(APART, script, &[])?;
    driver.kill(APART);
    steps_of(driver, answer)
}

/// How many steps a script took, if it found nothing.
pub(super) fn steps_of(driver: &mut Driver<'_>, answer: Answer) -> Result<u64, Undone> {
    match answer {
        Answer::Outcome(ScriptOutcome::Done { steps, planned }) => enough(steps, planned),
        Answer::Outcome(ScriptOutcome::Broken { law, what, trace }) => {
            driver.truncate_trace(0);
            for line in trace {
                driver.note(line);
            }
            Err(driver.broken(law, what))
        }
        Answer::Unable(why) => Err(Undone::Skipped(why)),
        answer => Err(driver.wrong(&answer)),
    }
}
