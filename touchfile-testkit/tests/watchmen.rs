//! Who watches the watchmen: the suite rejects every broken backend, and names the law it breaks.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use touchfile_testkit::Suite;
use touchfile_testkit::broken::{self, Broken};

/// What a lock-step finding may take to tell.
const MOST_STEPS: usize = 6;

fn main() -> ExitCode {
    for broken in broken::all() {
        suite(broken).work();
    }
    let arguments = Arguments::from_args();
    let whole = broken::all().into_iter().map(|broken| {
        let name = format!("{}_is_rejected", broken.name);
        Trial::test(name, move || is_rejected(broken))
    });
    let lockstep = broken::all()
        .into_iter()
        .filter(|broken| broken.in_lockstep)
        .map(|broken| {
            let name = format!("{}_is_shown_by_a_few_steps", broken.name);
            Trial::test(name, move || is_shown_by_a_few_steps(broken))
        });
    libtest_mimic::run(&arguments, whole.chain(lockstep).collect()).exit_code()
}

fn suite(broken: Broken) -> Suite {
    let make = broken.make;
    Suite::new(broken.name, move |env| make(env.dir())).until_first_finding()
}

fn is_rejected(broken: Broken) -> Result<(), Failed> {
    rejects(broken, suite(broken))
}

fn is_shown_by_a_few_steps(broken: Broken) -> Result<(), Failed> {
    rejects(broken, suite(broken).only("lockstep::"))
}

fn rejects(broken: Broken, suite: Suite) -> Result<(), Failed> {
    let report = suite.check(&())?;
    let Some(finding) = report.findings().next() else {
        return Err(format!("{} passes:\n{report}", broken.what).into());
    };
    if finding.law != broken.law {
        return Err(format!("{} This breaks {}.\n{report}", broken.what, broken.law).into());
    }
    if finding.steps.len() > MOST_STEPS {
        return Err(format!("{} steps are too many:\n{report}", finding.steps.len()).into());
    }
    Ok(())
}
