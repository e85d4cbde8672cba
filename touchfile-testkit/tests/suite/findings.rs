//! What the suite finds, and how a schedule is played again.

use std::fs;

use touchfile_testkit::{Law, LockMode, Step, Suite, Verdict};

use crate::odd::Odd;
use crate::{check, suite};

/// The law that is found broken by this part of the suite.
pub(crate) fn broken(odd: Odd, part: &str) -> Law {
    let report = check(suite(odd).only(part));
    let finding = report
        .findings()
        .next()
        .unwrap_or_else(|| panic!("it passes: {report}"));
    assert!(finding.case.contains(part) && !finding.trace.is_empty());
    finding.law
}

pub(crate) fn noise() {
    let report = check(suite(Odd::Noisy).only("lockstep::").only("exclusion::"));
    assert!(report.passed(), "{report}");
}

pub(crate) fn panics() {
    assert_eq!(
        broken(
            Odd::PanicsInTryLock,
            "lockstep::random_schedules_of_locking"
        ),
        Law::Errors
    );
    assert_eq!(
        broken(Odd::PanicsInTryLock, "no-false-busy::the_lock"),
        Law::NoFalseBusy
    );
    assert_eq!(
        broken(Odd::PanicsInTryLock, "free::processes_race"),
        Law::Errors
    );
}

pub(crate) fn panics_in_drop() {
    assert_eq!(
        broken(Odd::PanicsInDrop, "lockstep::random_schedules_of_locking"),
        Law::Release
    );
    assert_eq!(
        broken(Odd::PanicsInDrop, "release::dropping_the_handle_releases"),
        Law::Release
    );
}

pub(crate) fn exits() {
    assert_eq!(
        broken(Odd::ExitsInUnlock, "lockstep::random_schedules_of_locking"),
        Law::Errors
    );
    assert_eq!(
        broken(Odd::ExitsInUnlock, "release::unlocking_releases"),
        Law::Errors
    );
}

pub(crate) fn hangs() {
    assert_eq!(
        broken(Odd::HangsInUnlock, "lockstep::random_schedules_of_locking"),
        Law::Release
    );
    assert_eq!(
        broken(Odd::HangsInUnlock, "release::unlocking_releases"),
        Law::Release
    );
}

const TWO_ATTEMPTS: [Step; 2] = [
    Step::TryLock {
        process: 0,
        handle: 0,
        mode: LockMode::Exclusive,
    },
    Step::TryLock {
        process: 1,
        handle: 0,
        mode: LockMode::Exclusive,
    },
];

pub(crate) fn replays() {
    let report = check(
        suite(Odd::LocksNothing)
            .only("replay")
            .replay(&TWO_ATTEMPTS),
    );
    let finding = report.findings().next().unwrap();
    assert_eq!(
        (finding.law, &finding.steps[..]),
        (Law::Exclusion, &TWO_ATTEMPTS[..])
    );
    assert!(
        finding
            .trace
            .contains("handle: 0, mode: LockMode::Exclusive },"),
        "{finding:?}"
    );
}

pub(crate) fn replays_what_is_right() {
    let report = check(suite(Odd::Not).only("replay").replay(&TWO_ATTEMPTS));
    assert!(
        matches!(report.cases[0].verdict, Verdict::Passed),
        "{report}"
    );
}

pub(crate) fn remembers() {
    let dir = tempfile::tempdir().unwrap();
    let locking = |suite: Suite| {
        suite
            .source_dir(dir.path())
            .only("random_schedules_of_locking")
    };
    let report = check(locking(suite(Odd::LocksNothing)));
    assert_eq!(report.findings().next().unwrap().law, Law::Exclusion);
    let file = dir
        .path()
        .join("proptest-regressions/conformance/locks-nothing/locks.txt");
    let seeds = fs::read_to_string(&file).unwrap();
    assert!(seeds.contains("\ncc "), "{seeds}");
    // One other random schedule would hardly find it.
    let report = check(locking(suite(Odd::LocksNothing).seed(2).cases(1)));
    assert_eq!(report.findings().next().unwrap().law, Law::Exclusion);
    let kept = fs::read_to_string(&file).unwrap();
    assert_eq!(kept, seeds, "the same seed is kept once");
}
