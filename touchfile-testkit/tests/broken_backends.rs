//! The suite rejects every broken backend, and names the law that it breaks.

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use touchfile_testkit::Suite;
use touchfile_testkit::broken::{self, Broken};

/// The seed is fixed, so that the same schedules are played each time. The example `power` measures how
/// likely another seed would do as well, and `docs/conformance-power.md` has the result.
const SEED: u64 = 1;

/// How many suites run at once. They wait for most of their time, so more than there are processors
/// take less time.
const AT_ONCE: usize = 8;

/// How many steps a lock-step finding may have.
const MOST_STEPS: usize = 6;

/// Those that are wrong only in how long they take, and the patience with which they are tried.
const SLOW: [&str; 4] = [
    "tries-for-a-while",
    "gives-up-slowly",
    "unlocks-slowly",
    "looks-each-second",
];
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    for broken in broken::all() {
        suite(broken).work();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials = broken::all().into_iter().map(|broken| {
        let how = if broken.in_lockstep {
            "in_a_few_steps"
        } else {
            "in_some_case"
        };
        let name = format!("{}_is_rejected_{how}", broken.name);
        let mut suite = suite(broken);
        if broken.in_lockstep {
            suite = suite.only("lockstep::");
        }
        if SLOW.contains(&broken.name) {
            // It is the only case that rejects them with the usual patience.
            suite = suite.only("liveness::calls_take").patience(PATIENCE);
        }
        Trial::test(name, move || rejects(broken, suite))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn suite(broken: Broken) -> Suite {
    let make = broken.make;
    Suite::new(broken.name, move |env| make(env.dir()))
        .seed(SEED)
        .until_first_finding()
        // The late ones among these backends are late by seconds.
        .patience(Duration::from_secs(1))
}

fn rejects(broken: Broken, suite: Suite) -> Result<(), Failed> {
    let report = suite.check(&())?;
    let Some(finding) = report.findings().next() else {
        return Err(format!("{} passes:\n{report}", broken.what).into());
    };
    if finding.law != broken.law {
        return Err(format!("{} This breaks {}.\n{report}", broken.what, broken.law).into());
    }
    if broken.in_lockstep && finding.steps.is_empty() {
        return Err(format!("it was found by chance, with no steps to tell:\n{report}").into());
    }
    if finding.steps.len() > MOST_STEPS {
        return Err(format!("{} steps are too many:\n{report}", finding.steps.len()).into());
    }
    Ok(())
}
