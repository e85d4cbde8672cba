//! Tests of the suite itself, with backends that misbehave, and of its reports.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod odd;

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use touchfile_flock::FlockBackend;
use touchfile_testkit::{CaseReport, Law, LockMode, Observer, Place, Report, Step, Suite, Verdict};

use crate::odd::{Odd, OddBackend};

fn main() -> ExitCode {
    // A worker executes the commands of its suite here.
    recorded().work();
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
        trial("what_a_backend_prints_does_not_disturb_the_suite", noise),
        trial("a_backend_that_panics_breaks_a_law", panics),
        trial(
            "a_backend_that_panics_as_it_is_dropped_breaks_the_law_of_release",
            panics_in_drop,
        ),
        trial("a_backend_that_ends_its_process_breaks_a_law", exits),
        trial("a_backend_that_hangs_breaks_a_law", hangs),
        trial("a_replay_shows_a_finding_again", replays),
        trial("a_replay_of_what_is_right_passes", replays_what_is_right),
        trial(
            "a_schedule_that_failed_is_played_first_the_next_time",
            remembers,
        ),
        trial("a_skipped_case_is_reported_with_its_reason", skips),
        trial("a_case_to_skip_must_exist", skips_nothing),
        trial("the_report_is_json_for_machines", reports_json),
        trial("the_observer_is_told_of_every_case", observes),
        trial(
            "a_directory_is_made_where_it_is_wanted_and_removed",
            uses_directory,
        ),
        trial("workers_run_at_their_places", runs_at_places),
        trial(
            "the_dead_may_keep_a_lock_for_as_long_as_they_are_granted",
            grants_the_dead,
        ),
        trial("what_needs_a_claim_is_left_out_without_it", gates),
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

/// The law that is found broken by this part of the suite.
fn broken(odd: Odd, part: &str) -> Law {
    let report = check(suite(odd).only(part));
    let finding = report
        .findings()
        .next()
        .unwrap_or_else(|| panic!("it passes: {report}"));
    assert!(finding.case.contains(part) && !finding.trace.is_empty());
    finding.law
}

fn noise() {
    let report = check(suite(Odd::Noisy).only("lockstep::").only("exclusion::"));
    assert!(report.passed(), "{report}");
}

fn panics() {
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

fn panics_in_drop() {
    assert_eq!(
        broken(Odd::PanicsInDrop, "lockstep::random_schedules_of_locking"),
        Law::Release
    );
    assert_eq!(
        broken(Odd::PanicsInDrop, "release::dropping_the_handle_releases"),
        Law::Release
    );
}

fn exits() {
    assert_eq!(
        broken(Odd::ExitsInUnlock, "lockstep::random_schedules_of_locking"),
        Law::Errors
    );
    assert_eq!(
        broken(Odd::ExitsInUnlock, "release::unlocking_releases"),
        Law::Errors
    );
}

fn hangs() {
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

fn replays() {
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

fn replays_what_is_right() {
    let report = check(suite(Odd::Not).only("replay").replay(&TWO_ATTEMPTS));
    assert!(
        matches!(report.cases[0].verdict, Verdict::Passed),
        "{report}"
    );
}

fn remembers() {
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

fn skips() {
    let name = "release::unlocking_releases";
    let report = check(
        suite(Odd::Not)
            .only("release::unlocking")
            .skip(name, "it rains"),
    );
    let skipped = report.cases.iter().find(|case| case.name == name).unwrap();
    assert!(matches!(&skipped.verdict, Verdict::Skipped(why) if why == "it rains"));
    assert!(report.to_string().contains("it rains"), "{report}");
    assert!(report.passed());
}

fn skips_nothing() {
    let error = suite(Odd::Not)
        .skip("release::of_everything", "no")
        .check(&())
        .unwrap_err();
    assert!(
        error.to_string().contains("release::of_everything"),
        "{error}"
    );
}

fn reports_json() {
    let report = check(
        suite(Odd::LocksNothing)
            .only("exclusion::")
            .only("capabilities::"),
    );
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["suite"], "locks-nothing");
    assert_eq!(json["passed"], false);
    let cases = json["cases"].as_array().unwrap();
    assert_eq!(cases.len(), report.cases.len());
    let broken = cases
        .iter()
        .find(|case| case["verdict"] == "broken")
        .unwrap();
    assert_eq!(broken["broken_law"], "exclusion");
    assert!(
        broken["trace"]
            .as_str()
            .unwrap()
            .contains("This breaks exclusion")
    );
}

#[derive(Default)]
struct Recorded(Mutex<Vec<String>>);

impl Observer for Recorded {
    fn planned(&self, cases: &[&str]) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} planned", cases.len()));
    }

    fn finished(&self, case: &CaseReport) {
        self.0.lock().unwrap().push(case.name.clone());
    }
}

fn observes() {
    let recorded = Recorded::default();
    let report = suite(Odd::Not)
        .only("capabilities::")
        .check(&recorded)
        .unwrap();
    let names = recorded.0.into_inner().unwrap();
    assert_eq!(names.len(), report.cases.len() + 1);
    assert_eq!(names[0], format!("{} planned", report.cases.len()));
}

fn uses_directory() {
    let dir = tempfile::tempdir().unwrap();
    let report = check(
        suite(Odd::Not)
            .only("release::unlocking_releases")
            .dir(dir.path()),
    );
    assert!(report.passed(), "{report}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let missing = suite(Odd::Not).dir(dir.path().join("missing")).check(&());
    assert!(missing.is_err());
}

/// A suite in which each process that makes the backend appends a line to a file beside the directory.
fn recorded() -> Suite {
    Suite::new("recorded", |env| {
        let beside = env.dir().parent().unwrap().join("makers");
        let mut makers = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(beside)
            .unwrap();
        let mark = std::env::var("TESTKIT_PLACE").unwrap_or_default();
        writeln!(makers, "{mark} {}", env.dir().display()).unwrap();
        FlockBackend::new()
    })
}

fn runs_at_places() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    fs::create_dir(&here).unwrap();
    std::os::unix::fs::symlink(&here, &there).unwrap();
    let report = recorded()
        .cases(10)
        .dir(&here)
        .place(Place::new(&here))
        .place(Place::new(&there).launcher(["env", "TESTKIT_PLACE=there"]))
        .only("free::processes_race")
        .only("lockstep::")
        .only("exclusion::")
        .only("release::")
        .check(&())
        .unwrap();
    assert!(report.passed(), "{report}");
    let makers = fs::read_to_string(here.join("makers")).unwrap();
    let at = |place: &str, dir: &std::path::Path| {
        let start = format!("{place} {}/touchfile-testkit-", dir.display());
        makers
            .lines()
            .filter(|line| line.starts_with(&start))
            .count()
    };
    assert!(at("there", &there) > 0 && at("", &here) > 1, "{makers}");
    assert_eq!(at("there", &here) + at("", &there), 0, "{makers}");
}

fn grants_the_dead() {
    let killed = suite(Odd::LingersForLong)
        .cases(10)
        .only("release::sigkill");
    assert_eq!(check(killed).findings().next().unwrap().law, Law::Release);
    for part in [
        "release::sigkill",
        "liveness::a_waiter_gets_the_lock_when_its_holder_is_killed",
        "lockstep::random_schedules_with_processes",
        "free::processes_race_and_some_are_killed",
    ] {
        let patient = suite(Odd::LingersAfterDeath)
            .cases(10)
            .death_grace(Duration::from_secs(60));
        let report = check(patient.only(part));
        assert!(report.passed(), "{part}: {report}");
    }
}

fn gates() {
    let report = check(suite(Odd::ClaimsLittle).cases(10));
    assert!(report.passed(), "{report}");
    let skipped = |name: &str| {
        let case = report.cases.iter().find(|case| case.name == name).unwrap();
        matches!(case.verdict, Verdict::Skipped(_))
    };
    assert!(skipped("exclusion::readers_share_and_keep_a_writer_out"));
    assert!(skipped("exclusion::two_processes_exclude_each_other"));
    assert!(skipped("free::processes_race_and_some_are_killed"));
    assert!(!skipped("capabilities::shared_locks_are_there_or_refused"));
}

/// The correct backend on which the odd ones are built.
fn honest() -> FlockBackend {
    FlockBackend::new()
}
