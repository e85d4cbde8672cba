//! Runs the conformance suite with flock without the help of the system for waiters, as on other systems
//! than Linux and on Linux where these calls are refused.
#![cfg(target_os = "linux")]

use std::env;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use touchfile_flock::FlockBackend;
use touchfile_testkit::Suite;

/// The variable that names the parts which waiting must not use. Worker processes inherit it.
const WITHOUT: &str = "TOUCHFILE_WAIT_WITHOUT";

fn main() -> ExitCode {
    // In a worker, this does not return.
    suite().work();
    if env::var_os(WITHOUT).is_some() {
        return match passes() {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => {
                println!("{}", failed.message().unwrap_or("it failed"));
                ExitCode::FAILURE
            }
        };
    }
    let trials = [
        ("the_laws_hold_where_the_system_offers_nothing", "all"),
        ("the_laws_hold_without_events", "events"),
        ("the_laws_hold_without_a_queue", "queue"),
        (
            "the_laws_hold_without_a_thread_in_the_kernel",
            "kernel,probe",
        ),
    ];
    let trials = trials.map(|(sentence, without)| {
        Trial::test(sentence, move || {
            let this = env::current_exe()?;
            let suite = Command::new(this).env(WITHOUT, without).output()?;
            if suite.status.success() {
                return Ok(());
            }
            Err(String::from_utf8_lossy(&suite.stdout).into_owned().into())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

const NO_QUEUE: &str = "fairness is claimed, and there is no queue";

fn suite() -> Suite {
    Suite::new("flock-unaided", |_| FlockBackend::new())
        .skip("liveness::a_writer_among_readers", NO_QUEUE)
        .skip("liveness::every_waiter_gets_its_turn", NO_QUEUE)
        .skip(
            "liveness::those_who_wait_are_served_in_the_order_in_which_they_came",
            NO_QUEUE,
        )
        .cases(64)
}

fn passes() -> Result<(), Failed> {
    let report = suite().check(&())?;
    if report.passed() {
        return Ok(());
    }
    Err(report.to_string().into())
}
