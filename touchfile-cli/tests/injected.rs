//! What the kernel rarely says, said by strace(1) in its place.
//!
//! Where strace is missing, or may not trace, these tests say that they are skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

#[test]
fn a_file_system_that_refuses_flock_is_69_and_named() {
    let Some(done) = run_with("error=EOPNOTSUPP") else {
        return;
    };
    assert_eq!(done.status.code(), Some(69));
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("the file system ("), "{told}");
    assert!(done.stdout.is_empty());
}

#[test]
fn a_call_that_is_interrupted_is_made_again() {
    let Some(done) = run_with("error=EINTR:when=1..5") else {
        return;
    };
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(done.stdout, b"ran\n");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_kernel_that_is_out_of_locks_is_75() {
    let Some(done) = run_with("error=ENOLCK") else {
        return;
    };
    assert_eq!(done.status.code(), Some(75));
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
}

/// `touchfile run` with every flock(2) answered like this.
fn run_with(answer: &str) -> Option<Output> {
    let traces = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    if !traces.is_ok_and(|traced| traced.status.success()) {
        println!("skipped: no strace(1), or it may not trace");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e", "trace=flock", "-e"])
        .arg(format!("inject=flock:{answer}"))
        .arg(assert_cmd::cargo::cargo_bin!("touchfile"))
        .arg("run")
        .arg(dir.path().join("a.lock"))
        .args(["--", "echo", "ran"]);
    Some(command.output().unwrap())
}
