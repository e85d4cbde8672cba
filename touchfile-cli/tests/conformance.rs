//! `touchfile conformance` as a user runs it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::time::Duration;

use assert_cmd::{Command, cargo_bin_cmd};

fn conformance() -> Command {
    let mut command = cargo_bin_cmd!("touchfile");
    command.arg("conformance").timeout(Duration::from_secs(120));
    command
}

#[test]
fn flock_keeps_every_law_in_a_directory_and_leaves_nothing_there() {
    let dir = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let json = files.path().join("report.json");
    let mut run = conformance();
    run.args(["--backend", "flock", "--cases", "8", "--seed", "7", "--dir"]);
    run.arg(dir.path()).arg("--json").arg(&json);
    let done = run.assert().code(0).stderr("");
    let told = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(told.starts_with("flock (backend flock), seed 7,"), "{told}");
    for law in ["exclusion", "fork-and-exec", "liveness"] {
        let row = told.lines().find(|line| line.starts_with(law)).unwrap();
        // On a busy machine there may not be the time for every case.
        let verdict = ["holds", "holds, as far as there was time"];
        assert!(verdict.iter().any(|end| row.ends_with(end)), "{row}");
    }
    let json = fs::read_to_string(json).unwrap();
    assert!(json.contains("\"passed\": true"), "{json}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn every_backend_keeps_its_laws_and_claims_what_is_its_own() {
    for (backend, claims_fcntl) in [("fcntl", true), ("auto", false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut run = conformance();
        run.args(["--backend", backend, "--cases", "8", "--seed", "7"]);
        let done = run.arg("--dir").arg(dir.path()).assert().code(0).stderr("");
        let told = String::from_utf8(done.get_output().stdout.clone()).unwrap();
        let first = format!("{backend} (backend {backend}), seed 7,");
        assert!(told.starts_with(&first), "{told}");
        let skipped = "the backend does not claim `excludes_fcntl`";
        assert_eq!(!told.contains(skipped), claims_fcntl, "{told}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_directory_that_is_missing_is_66_and_one_line() {
    let done = conformance().args(["--dir", "/no/such"]).assert().code(66);
    let told = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("touchfile: cannot use /no/such"), "{told}");
}

#[test]
fn a_report_that_cannot_be_written_is_74() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = conformance();
    run.args(["--cases", "1", "--json", "/no/such/file", "--dir"]);
    run.arg(dir.path()).assert().code(74);
}

#[test]
fn wrong_usage_is_64() {
    conformance().assert().code(64);
    conformance()
        .args(["--dir", ".", "--cases", "0"])
        .assert()
        .code(64);
    conformance()
        .args(["--dir", ".", "--backend", "wish"])
        .assert()
        .code(64);
}
