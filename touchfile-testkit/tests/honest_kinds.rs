//! Correct backends that are slow, late or unusual pass, too, run after run, with any seed.
//!
//! `TOUCHFILE_TESTKIT_RUNS` is the number of runs of each. The default is two.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod kinds;

use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use touchfile_testkit::Suite;

use self::kinds::{Backend, Kind};

/// The number is small because there are many runs.
const CASES: u32 = 16;

/// How many suites run at once. They wait for most of their time.
const AT_ONCE: usize = 12;

fn main() -> ExitCode {
    for kind in Kind::ALL {
        suite(kind).work();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let runs = env::var("TOUCHFILE_TESTKIT_RUNS").map_or(2, |runs| runs.parse().unwrap());
    let trials = Kind::ALL.into_iter().flat_map(|kind| {
        (1..=runs).map(move |run: u32| {
            Trial::test(format!("{}_passes_run_{run}", kind.name()), move || {
                let report = suite(kind).cases(CASES).check(&()).unwrap();
                assert!(report.passed(), "{report}");
                Ok(())
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn suite(kind: Kind) -> Suite {
    Suite::new(kind.name(), move |_| Backend(kind))
}
