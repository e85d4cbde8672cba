//! Correct backends pass, run after run, with any seed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use libtest_mimic::{Arguments, Trial};
use touchfile_flock::FlockBackend;
use touchfile_testkit::{Suite, broken};

const RUNS: usize = 20;

/// How many suites run at once. They wait for most of their time.
const AT_ONCE: usize = 4;

/// The number is small because there are many runs.
const CASES: u32 = 16;

fn main() -> ExitCode {
    flock().work();
    tokens().work();
    let trial = |sentence: &str, make: fn() -> Suite| {
        Trial::test(sentence, move || {
            passes_every_time(make);
            Ok(())
        })
    };
    let trials = vec![
        trial("flock_passes_twenty_runs_in_a_row", flock),
        trial("flock_with_tokens_passes_twenty_runs_in_a_row", tokens),
        trial("the_mock_passes_twenty_runs_in_a_row", mock),
        trial(
            "a_mock_that_promises_little_passes_twenty_runs_in_a_row",
            modest_mock,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn flock() -> Suite {
    Suite::new("flock", |_| FlockBackend::new())
}

fn tokens() -> Suite {
    Suite::new("tokens", |env| broken::honest_tokens(env.dir()))
}

fn mock() -> Suite {
    Suite::in_process("mock", |world, process| world.process(process))
}

fn modest_mock() -> Suite {
    Suite::in_process("modest-mock", |world, process| {
        let mut claims = touchfile_core::Capabilities::NONE;
        claims.cross_process = true;
        world.process(process).with_capabilities(claims)
    })
}

fn passes_every_time(make: fn() -> Suite) {
    let left = AtomicUsize::new(RUNS);
    let is_left = || {
        left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .is_ok()
    };
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while is_left() {
                    let report = make().cases(CASES).check(&()).unwrap();
                    assert!(report.passed(), "{report}");
                }
            });
        }
    });
}
