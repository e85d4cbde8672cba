//! TouchFile over flock, between real processes.
//!
//! Each test talks to workers: this very binary, run again with a role (see `worker`), which obey
//! commands on standard input and answer on standard output, a line each.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad_input;
mod cancelling;
mod effects;
mod exclusion;
mod forking;
mod load;
mod looking;
mod relocking;
mod replacing;
mod telling;
mod waiting;
mod worker;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(role) = worker::role() {
        return worker::run(&role);
    }
    let mut trials = Vec::new();
    trials.extend(bad_input::trials());
    trials.extend(cancelling::trials());
    trials.extend(effects::trials());
    trials.extend(exclusion::trials());
    trials.extend(forking::trials());
    trials.extend(load::trials());
    trials.extend(looking::trials());
    trials.extend(relocking::trials());
    trials.extend(replacing::trials());
    trials.extend(telling::trials());
    trials.extend(waiting::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that needs a program, and is reported as ignored where that is missing.
fn trial_with(program: &str, sentence: &'static str, test: fn()) -> Trial {
    let missing = Command::new(program).arg("-V").output().is_err();
    trial(sentence, test)
        .with_ignored_flag(missing)
        .with_kind(if missing {
            format!("skipped, no {program}")
        } else {
            String::new()
        })
}

/// One test: a sentence, and a function that panics if it is not true.
fn trial(sentence: &'static str, test: fn()) -> Trial {
    Trial::test(sentence, move || {
        test();
        Ok(())
    })
}
