//! The suite rejects each of a sample of the mutants, with a fixed seed, and names its law.
//!
//! The example `kill-rate` tries all mutants.

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use touchfile_fcntl::FcntlBackend;
use touchfile_flock::FlockBackend;
use touchfile_testkit::Suite;
use touchfile_testkit::broken::Mutant;

const SEED: u64 = 1;

/// How many suites run at once. They wait for most of their time.
const AT_ONCE: usize = 4;

/// Mutants with triggers of each kind, and the case that has to find each. None depends on chance.
const SAMPLE: &[(&str, &str)] = &[
    ("grants/after-1000/exclusive", "walk::"),
    ("takes-shared/after-64/all", "walk::"),
    ("unlock-keeps/after-64/all", "walk::"),
    ("grants/in-second-thread/all", "walk::"),
    ("grants/in-second-child/all", "walk::forked"),
    ("shares-in-child/in-child/all", "exclusion::two_children"),
    ("never-wakes/in-second-runtime/all", "walk::"),
    ("drop-keeps/unwinding/all", "walk::"),
    ("other-lock/on-dot-dot/all", "walk::paths"),
    ("other-lock/on-linked-directory/all", "walk::paths"),
    ("grants/on-odd-name/all", "walk::paths"),
    ("grants/at-reader-16/all", "walk::many"),
    ("refuses/at-64-handles/all", "walk::many"),
    ("upgrade-grants/always/all", "walk::"),
    ("downgrade-gap/after-wait/all", "exclusion::nobody_gets_in"),
    ("never-wakes/early/all", "liveness::a_release"),
    ("lease/after-wait/all", "exclusion::locks_that"),
    (
        "truncates-waiting/after-wait/all",
        "acquired-means-acquired::no_call",
    ),
    (
        "leaks-descriptor-asking-current/always/all",
        "acquired-means-acquired::no_call",
    ),
    (
        "leaves-file-opening/always/all",
        "acquired-means-acquired::no_call",
    ),
    ("opens-as-busy-else/always/all", "errors::what"),
    ("leaks-failed-open/always/all", "errors::what"),
    ("opens-as-busy-else/in-second-thread/all", "walk::"),
    ("follows-links/in-second-thread/all", "walk::"),
    ("ignores-mode/on-dot-dot/all", "walk::paths"),
    (
        "claims-exclusive-read-only/always/all",
        "capabilities::a_user",
    ),
    ("claims-fair/always/all", "liveness::those_who_wait"),
    ("ghost-holder/always/all", "walk::"),
    ("inherited/after-wait/all", "walk::"),
    // Their law shows only to who asks which handle has the lock, or what a new one would get.
    ("busy-holding/after-64/all", "walk::handles"),
    ("refuses/always/exclusive", "lockstep::random_schedules_of"),
    (
        "unlock-keeps/after-given-up-wait/all",
        "lockstep::random_schedules_of",
    ),
    (
        "drop-panics/in-second-thread/all",
        "acquired-means-acquired::no_call",
    ),
];

fn main() -> ExitCode {
    for (name, _) in SAMPLE {
        suite(name).work();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials = SAMPLE.iter().map(|&(name, case)| {
        Trial::test(format!("{name}_is_rejected"), move || rejects(name, case))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn mutant(name: &str) -> Mutant {
    Mutant::named(name).unwrap_or_else(|| panic!("no mutant is called {name}"))
}

fn suite(name: &'static str) -> Suite {
    let mutant = mutant(name);
    let suite = if mutant.converts() {
        Suite::new(name, move |_| mutant.over(FcntlBackend::new()))
    } else {
        Suite::new(name, move |_| mutant.over(FlockBackend::new()))
    };
    suite
        .seed(SEED)
        .until_first_finding()
        // The late ones among these mutants are late by seconds.
        .patience(Duration::from_secs(2))
}

fn rejects(name: &'static str, case: &'static str) -> Result<(), Failed> {
    let mutant = mutant(name);
    let report = suite(name).only(case).check(&())?;
    let Some(finding) = report.findings().next() else {
        return Err(format!("{} It passes:\n{report}", mutant.what()).into());
    };
    if !mutant.laws().contains(&finding.law) {
        return Err(format!("{} This breaks {}.\n{report}", mutant.what(), mutant.law()).into());
    }
    Ok(())
}
