//! Tests of the suite itself, with backends that misbehave, and of its reports.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod findings;
mod odd;
mod places;
mod reports;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use touchfile_flock::FlockBackend;
use touchfile_testkit::{Report, Suite};

use crate::odd::{Odd, OddBackend};

fn main() -> ExitCode {
    // A worker executes the commands of its suite here.
    places::recorded().work();
    for odd in Odd::ALL {
        suite(odd).work();
    }
    let trial = |sentence: &str, test: fn()| {
        Trial::test(sentence, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial(
            "what_a_backend_prints_does_not_disturb_the_suite",
            findings::noise,
        ),
        trial("a_backend_that_panics_breaks_a_law", findings::panics),
        trial(
            "a_backend_that_panics_as_it_is_dropped_breaks_the_law_of_release",
            findings::panics_in_drop,
        ),
        trial(
            "a_backend_that_ends_its_process_breaks_a_law",
            findings::exits,
        ),
        trial("a_backend_that_hangs_breaks_a_law", findings::hangs),
        trial("a_replay_shows_a_finding_again", findings::replays),
        trial(
            "a_replay_of_what_is_right_passes",
            findings::replays_what_is_right,
        ),
        trial(
            "a_schedule_that_failed_is_played_first_the_next_time",
            findings::remembers,
        ),
        trial("a_skipped_case_is_reported_with_its_reason", reports::skips),
        trial("a_case_to_skip_must_exist", reports::skips_nothing),
        trial("the_report_is_json_for_machines", reports::reports_json),
        trial("the_observer_is_told_of_every_case", reports::observes),
        trial(
            "a_directory_is_made_where_it_is_wanted_and_removed",
            places::uses_directory,
        ),
        trial("workers_run_at_their_places", places::runs_at_places),
        trial(
            "the_dead_may_keep_a_lock_for_as_long_as_they_are_granted",
            places::grants_the_dead,
        ),
        trial(
            "what_ran_out_of_time_is_too_slow_to_judge",
            reports::too_slow,
        ),
        trial("what_needs_a_claim_is_left_out_without_it", reports::gates),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn suite(odd: Odd) -> Suite {
    let suite = Suite::new(odd.name(), move |_| OddBackend(odd))
        .cases(40)
        .seed(1)
        .until_first_finding();
    match odd {
        Odd::HangsInUnlock => suite.patience(Duration::from_millis(500)),
        // The default lets them pass on a busy machine.
        _ => suite,
    }
}

fn check(suite: Suite) -> Report {
    suite.check(&()).unwrap()
}

/// The correct backend on which the odd ones are built.
fn honest() -> FlockBackend {
    FlockBackend::new()
}
