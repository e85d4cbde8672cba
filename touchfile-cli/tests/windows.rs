//! `touchfile run` and `touchfile conformance` on Windows.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use touchfile::{LockMode, TouchFile};

const SOON: Duration = Duration::from_secs(30);

fn touchfile() -> Command {
    Command::new(env!("CARGO_BIN_EXE_touchfile"))
}

fn run(lock: &Path, options: &[&str], command: &[&str]) -> Output {
    let mut run = touchfile();
    run.arg("run")
        .args(options)
        .arg(lock)
        .arg("--")
        .args(command);
    run.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Names a file that this test program, as a command under a lock, is to write before it sleeps.
const STARTED: &str = "TOUCHFILE_TEST_STARTED";

#[test]
fn sleep_if_this_is_a_command() {
    if let Some(file) = std::env::var_os(STARTED) {
        fs::write(file, "").unwrap();
        thread::sleep(SOON);
    }
}

/// A command that says that it has started, and lives on.
fn start_sleeper(lock: &Path, started: &Path, options: &[&str]) -> Child {
    let mut run = touchfile();
    run.arg("run").args(options).arg(lock).arg("--");
    run.arg(std::env::current_exe().unwrap());
    run.args(["--exact", "sleep_if_this_is_a_command"]);
    let child = run.env(STARTED, started).spawn().unwrap();
    wait_until(|| started.exists());
    child
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "it takes too long");
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_free(lock: &Path) -> bool {
    let touch = TouchFile::open(lock).unwrap();
    let guard = touch.blocking().try_lock(LockMode::Exclusive).unwrap();
    guard.is_some()
}

#[test]
fn the_exit_code_of_the_command_is_kept_with_all_its_bits() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    for code in [0, 7, 300, -1_073_741_510] {
        let ended = run(&lock, &[], &["cmd", "/C", "exit", &code.to_string()]);
        assert_eq!(ended.status.code(), Some(code), "{}", stderr(&ended));
    }
    assert!(is_free(&lock));
}

#[test]
fn the_command_runs_under_the_lock_and_can_be_told_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    let told = run(&lock, &["--env"], &["cmd", "/C", "echo %TOUCHFILE_LOCKS%"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("exclusive lockfileex "), "{told}");

    let mut holder = start_sleeper(&lock, &dir.path().join("started"), &[]);
    assert!(!is_free(&lock));
    let busy = run(&lock, &["-n", "-v", "-E", "9"], &["cmd", "/C", "exit 0"]);
    assert_eq!(busy.status.code(), Some(9));
    assert!(stderr(&busy).contains("is not free"), "{}", stderr(&busy));
    let late = run(&lock, &["-w", "0.1"], &["cmd", "/C", "exit 0"]);
    assert_eq!(late.status.code(), Some(1));
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until(|| is_free(&lock));
}

/// A lock cannot be inherited: a command that went on would run without it.
#[test]
fn a_command_ends_with_touchfile_unless_it_is_to_go_on_without_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    for (options, goes_on) in [(&[][..], false), (&["--no-inherit"], true)] {
        // The command has this lock, and the file tells whether it is there.
        let own = dir.path().join("own.lock");
        let started = dir.path().join(format!("started-{goes_on}"));
        let mut outer = touchfile();
        outer.arg("run").args(options).arg(&lock).arg("--");
        outer
            .arg(env!("CARGO_BIN_EXE_touchfile"))
            .args(["run", "-o"])
            .arg(&own)
            .arg("--");
        outer.arg(std::env::current_exe().unwrap());
        outer.args(["--exact", "sleep_if_this_is_a_command"]);
        let mut outer = outer.env(STARTED, &started).spawn().unwrap();
        wait_until(|| started.exists());
        assert!(!is_free(&own));
        outer.kill().unwrap();
        outer.wait().unwrap();
        wait_until(|| is_free(&lock));
        if goes_on {
            assert!(!is_free(&own));
        } else {
            wait_until(|| is_free(&own));
        }
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    let mut run = touchfile();
    run.args(["run", "--limit", "300ms"]).arg(&lock).arg("--");
    run.arg(std::env::current_exe().unwrap());
    run.args(["--exact", "sleep_if_this_is_a_command"]);
    let ended = run
        .env(STARTED, dir.path().join("started"))
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(124), "{}", stderr(&ended));
    wait_until(|| is_free(&lock));
}

#[test]
fn what_cannot_be_done_here_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    let words = |words: &[&str]| touchfile().args(words).output().unwrap();
    for (output, status, line) in [
        (words(&["who"]), 69, "is for Linux"),
        (words(&["doctor", "--json", "C:\\"]), 69, "is for Unix"),
        (words(&["flock", "-n", "a.lock", "true"]), 69, "is for Unix"),
        (run(&lock, &["--exec"], &["cmd"]), 64, "is for Unix"),
        (
            run(&lock, &["--kill-after", "1s"], &["cmd"]),
            64,
            "with signals",
        ),
        (run(&lock, &[], &["no-such-command"]), 69, "no such command"),
        (run(dir.path(), &[], &["cmd"]), 66, "it is a directory"),
        (run(&dir.path().join("NUL"), &[], &["cmd"]), 66, "device"),
    ] {
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(line) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn the_laws_are_tried_on_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut conformance = touchfile();
    conformance
        .args(["conformance", "--cases", "2", "--dir"])
        .arg(dir.path());
    let output = conformance.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}{}", stderr(&output));
    assert!(report.contains("Windows cannot fork"), "{report}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
