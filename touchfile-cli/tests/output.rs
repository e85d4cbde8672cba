//! Standard output that cannot be written.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "it is for several test programs")]
#[path = "run/support.rs"]
mod support;

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use nix::sys::signal::Signal;

use self::support::unread_pipe;

const IO_ERROR: i32 = 74;

/// All ways to let the program print something. Each runs in a directory of its own.
const PRINTING: [&[&str]; 15] = [
    &["--help"],
    &["--version"],
    &["conformance", "--help"],
    &["conformance", "--dir", ".", "--cases", "1"],
    &["doctor"],
    &["doctor", "--json"],
    &["doctor", "--help"],
    &["generate", "completions", "bash"],
    &["run", "--help"],
    &["who"],
    &["who", "."],
    &["who", "--json", "."],
    &["who", "--watch=50ms", "."],
    &["who", "--watch=50ms", "--json", "."],
    &["who", "--help"],
];

#[test]
fn output_that_is_lost_is_told_and_a_status() {
    for words in PRINTING {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(cargo_bin!("touchfile"), words, full);
        assert_eq!(
            output.status.code(),
            Some(IO_ERROR),
            "{words:?}: {output:?}"
        );
        let told = str::from_utf8(&output.stderr).unwrap();
        let line =
            "touchfile: cannot write to standard output: No space left on device (os error 28)";
        assert!(told.lines().any(|told| told == line), "{words:?}: {told}");
    }
}

#[test]
fn output_of_flock_that_is_lost_is_told_as_flock_tells_it() {
    for words in [&["flock", "--help"][..], &["flock", "--version"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(cargo_bin!("touchfile"), words, full);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(
            output.stderr,
            b"flock: write error: No space left on device\n"
        );
    }
}

#[test]
fn a_report_that_is_lost_is_told_and_a_status() {
    let words = [
        "conformance",
        "--dir",
        ".",
        "--cases",
        "1",
        "--json",
        "/dev/full",
    ];
    let output = run(cargo_bin!("touchfile"), &words, Stdio::null());
    assert_eq!(output.status.code(), Some(IO_ERROR), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("/dev/full"),
        "{output:?}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_program_as_any_other() {
    let flock = [
        &["flock", "--help"][..],
        &["flock", "--verbose", ".", "true"],
    ];
    for words in PRINTING.into_iter().chain(flock) {
        let output = run(cargo_bin!("touchfile"), words, unread_pipe());
        assert_eq!(
            output.status.signal(),
            Some(Signal::SIGPIPE as i32),
            "{words:?}: {output:?}"
        );
        assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_told_where_its_signal_is_ignored() {
    let works = Command::new("env")
        .args(["--ignore-signal=PIPE", "true"])
        .output();
    if !works.is_ok_and(|output| output.status.success()) {
        println!("skipped: env has no --ignore-signal");
        return;
    }
    let touchfile = cargo_bin!("touchfile").to_str().unwrap();
    for words in PRINTING {
        let words = [&["--ignore-signal=PIPE", touchfile], words].concat();
        let output = run("env".as_ref(), &words, unread_pipe());
        assert_eq!(
            output.status.code(),
            Some(IO_ERROR),
            "{words:?}: {output:?}"
        );
        let told = str::from_utf8(&output.stderr).unwrap();
        assert!(
            told.contains("standard output: Broken pipe"),
            "{words:?}: {told}"
        );
    }
    // This is how flock(1) behaves.
    let output = run(
        "env".as_ref(),
        &["--ignore-signal=PIPE", touchfile, "flock", "--help"],
        unread_pipe(),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

fn run(program: &std::path::Path, words: &[&str], stdout: impl Into<Stdio>) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(words).current_dir(dir.path());
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped());
    command.output().unwrap()
}
