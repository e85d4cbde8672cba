//! Directories, places of workers, and locks of killed processes.

use std::fs;
use std::io::Write;
use std::time::Duration;

use touchfile_flock::FlockBackend;
use touchfile_testkit::{Law, Place, Suite};

use crate::odd::Odd;
use crate::{check, suite};

pub(crate) fn uses_directory() {
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
pub(crate) fn recorded() -> Suite {
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

pub(crate) fn runs_at_places() {
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

pub(crate) fn grants_the_dead() {
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
