//! Rare answers of the kernel, which strace(1) injects.
//!
//! If strace is missing or may not trace, these tests print that they are skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;

#[test]
fn a_file_system_that_refuses_flock_is_69_and_named() {
    let Some(done) = run_with("flock", "error=EOPNOTSUPP") else {
        return;
    };
    assert_eq!(done.status.code(), Some(69));
    let line = only_line(&done);
    assert!(line.contains("the file system ("), "{line}");
    assert!(done.stdout.is_empty());
}

#[test]
fn a_call_that_is_interrupted_is_made_again() {
    let Some(done) = run_with("flock", "error=EINTR:when=1..5") else {
        return;
    };
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(done.stdout, b"ran\n");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_kernel_that_is_out_of_locks_is_75() {
    let Some(done) = run_with("flock", "error=ENOLCK") else {
        return;
    };
    assert_eq!(done.status.code(), Some(75));
    only_line(&done);
}

#[test]
fn a_sandbox_that_refuses_a_call_is_not_blamed_on_the_file() {
    for (call, answer) in [
        ("flock", "error=EPERM"),
        ("fstatfs", "error=EPERM"),
        ("fstatfs", "error=ENOSYS"),
    ] {
        let Some(done) = run_with(call, answer) else {
            return;
        };
        assert_eq!(done.status.code(), Some(71), "{call}: {done:?}");
        let line = only_line(&done);
        assert!(line.contains("a sandbox may"), "{call}: {line}");
        assert!(line.contains("--backend flock"), "{call}: {line}");
        assert!(!line.contains("owner"), "{call}: {line}");
    }
}

#[test]
fn calls_that_sandboxes_refuse_are_not_needed() {
    for (call, options) in [
        ("signalfd4", &[][..]),
        ("pidfd_open", &[]),
        ("inotify_init1", &[]),
        ("epoll_create1", &[]),
        ("fstatfs", &["--backend", "flock"]),
    ] {
        for answer in ["error=EPERM", "error=ENOSYS"] {
            let Some(done) = run_with_options(call, answer, options) else {
                return;
            };
            assert!(done.status.success(), "{call}: {done:?}");
            assert_eq!(done.stdout, b"ran\n", "{call}: {done:?}");
        }
    }
}

#[test]
fn output_that_a_server_refuses_in_the_end_is_74() {
    let dir = tempfile::tempdir().unwrap();
    let (out, report) = (dir.path().join("out"), dir.path().join("report"));
    let report = report.to_str().unwrap();
    let conformance = [
        "conformance",
        "--dir",
        ".",
        "--cases",
        "1",
        "--json",
        report,
    ];
    for (words, file) in [
        (&["who", "."][..], out.to_str().unwrap()),
        (&["--help"], out.to_str().unwrap()),
        (&conformance, report),
    ] {
        // On NFS close(2) can fail like this.
        let Some(mut strace) = strace(&["trace=close", "inject=close:error=EDQUOT"]) else {
            return;
        };
        strace.args(["-P", file]).arg(cargo_bin!("touchfile"));
        let stdout = File::create(&out).unwrap();
        let done = strace.args(words).current_dir(dir.path()).stdout(stdout);
        let done = done.output().unwrap();
        assert_eq!(done.status.code(), Some(74), "{words:?}: {done:?}");
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(told.contains("Disk quota exceeded"), "{words:?}: {told}");
    }
}

/// The line that a command has printed on standard error. It must be the only one.
fn only_line(done: &Output) -> &str {
    let text = str::from_utf8(&done.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Runs `touchfile run` with this answer to every such system call.
fn run_with(call: &str, answer: &str) -> Option<Output> {
    run_with_options(call, answer, &[])
}

fn run_with_options(call: &str, answer: &str, options: &[&str]) -> Option<Output> {
    let dir = tempfile::tempdir().unwrap();
    let expressions = [format!("trace={call}"), format!("inject={call}:{answer}")];
    let mut strace = strace(&expressions.each_ref().map(String::as_str))?;
    strace.arg(cargo_bin!("touchfile"));
    strace
        .arg("run")
        .args(options)
        .arg(dir.path().join("a.lock"));
    Some(strace.args(["--", "echo", "ran"]).output().unwrap())
}

/// strace(1) with these expressions. If it does not work, prints that the test is skipped.
fn strace(expressions: &[&str]) -> Option<Command> {
    let traces = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    if !traces.is_ok_and(|traced| traced.status.success()) {
        println!("skipped: no strace(1), or it may not trace");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null"]);
    for expression in expressions {
        command.args(["-e", expression]);
    }
    Some(command)
}
