//! `TouchFile` with flock, between real processes.
//!
//! Each test uses workers: this program, executed again with a role (see `worker`). A worker executes the
//! commands of the test and replies to them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad_input;
mod cancelling;
mod effects;
mod exclusion;
mod forking;
mod load;
mod notifying;
mod polling;
mod relocking;
mod replacing;
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
    trials.extend(polling::trials());
    trials.extend(relocking::trials());
    trials.extend(replacing::trials());
    trials.extend(notifying::trials());
    trials.extend(waiting::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that needs a program, and is reported as ignored if the program is missing.
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

/// A test: a sentence, and a function that panics if the sentence is not true.
fn trial(sentence: &'static str, test: fn()) -> Trial {
    Trial::test(sentence, move || {
        test();
        Ok(())
    })
}
