//! What the command inherits, and what it does not.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{DEADLINE, Place, Process, run, touchfile, until};

#[test]
fn the_command_has_the_three_streams() {
    let place = Place::new();
    run()
        .arg(place.lock())
        .args(["--", "sh", "-c", "cat; echo err >&2"])
        .write_stdin("in")
        .assert()
        .success()
        .stdout("in")
        .stderr("err\n");
}

#[test]
fn the_command_has_the_directory_and_the_environment() {
    let place = Place::new();
    run()
        .current_dir(place.directory())
        .env("TOLD", "yes")
        .args(["a.lock", "--", "sh", "-c", "pwd -P; echo $TOLD"])
        .assert()
        .success()
        .stdout(format!("{}\nyes\n", place.directory().display()));
    assert_eq!(place.contents(), ["a.lock"]);
}

#[test]
fn closed_streams_are_no_reason_to_fail() {
    let place = Place::new();
    let _held = place.held(&["--shared"]);
    let with = |redirections: &str, options: &str, command: &str| {
        let script = format!(r#"exec "$0" run {options} "$1" -- {command} {redirections}"#);
        assert_cmd::Command::new("sh")
            .arg("-c")
            .arg(script)
            .arg(touchfile())
            .arg(place.lock())
            .timeout(DEADLINE)
            .assert()
    };
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        with(closed, "--shared", "sh -c 'exit 7'").code(7);
        with(closed, "--timeout 1100ms", "true").code(1); // it has two lines to print
        with(closed, "--shared", "/no/such/command").code(69);
        with(closed, "--help", "true").code(0);
        with(closed, "--no-such-option", "true").code(64);
    }
    if Path::new("/dev/full").exists() {
        with("2>/dev/full", "--timeout 1100ms", "true").code(1);
    }
}

#[test]
fn the_command_has_the_lock_file_open_unless_that_is_not_wanted() {
    let place = Place::new();
    let list = r#"for fd in /proc/self/fd/*; do readlink "$fd" || true; done"#;
    let has_it = |options: &[&str]| {
        let listed = run()
            .args(options)
            .arg(place.lock())
            .args(["--", "sh", "-c", list])
            .assert()
            .success();
        let listed = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
        listed.lines().any(|open| Path::new(open) == place.lock())
    };
    assert!(has_it(&[]));
    assert!(has_it(&["--inherit"]));
    assert!(!has_it(&["--no-inherit"]));
    // The last option counts.
    assert!(!has_it(&["--inherit", "--no-inherit"]));
    assert!(has_it(&["--no-inherit", "--inherit"]));
}

#[test]
fn the_lock_stays_with_the_command_if_touchfile_is_killed() {
    let place = Place::new();
    let mut process = place.start(&[], &["sh", "-c", "echo $$; read line || true; echo end"]);
    let command = process.line();
    process.send(Signal::SIGKILL);
    assert_eq!(process.ended().signal(), Some(Signal::SIGKILL as i32));
    assert!(Path::new("/proc").join(command).exists());
    place.assert_held();
    process.hang_up();
    assert_eq!(process.line(), "end");
    until("the lock is free", || place.is_free());
}

#[test]
fn the_lock_stays_with_what_the_command_left_behind_only_if_touchfile_is_killed() {
    let place = Place::new();
    let leave = "sleep 60 > /dev/null 2>&1 & echo $!; echo; read line || true";
    let mut process = place.start(&[], &["sh", "-c", leave]);
    let left = Pid::from_raw(process.line().parse().unwrap());
    process.send(Signal::SIGKILL);
    process.finish();
    place.assert_held();
    kill(left, Signal::SIGKILL).unwrap();
    until("the lock is free", || place.is_free());
}

#[test]
fn nothing_stays_if_touchfile_is_killed_that_did_not_want_it() {
    let place = Place::new();
    let mut process = place.held(&["--no-inherit"]);
    process.send(Signal::SIGKILL);
    assert_eq!(process.ended().signal(), Some(Signal::SIGKILL as i32));
    place.assert_free();
}

#[test]
fn the_command_is_told_what_is_held() {
    let place = Place::new();
    let told = |options: &[&str]| {
        let mut command = run();
        command
            .args(options)
            .arg(place.file("b"))
            .arg(place.file("a"));
        command
            .args(["--", touchfile().to_str().unwrap(), "run", "--shared"])
            .args(options)
            .arg(place.file("c\\\n"))
            .args(["--", "sh", "-c", r#"printf '%s\n' "$TOUCHFILE_LOCKS""#])
            .assert()
            .success()
    };
    let told_all = told(&["--env"]);
    let told_all = String::from_utf8(told_all.get_output().stdout.clone()).unwrap();
    let mut lines: Vec<&str> = told_all.lines().collect();
    assert_eq!(lines.len(), 3, "{told_all}");
    lines[..2].sort_unstable(); // in the order of locking
    let directory = place.directory();
    let directory = directory.display();
    assert_eq!(lines[0], format!("exclusive flock {directory}/a"));
    assert_eq!(lines[1], format!("exclusive flock {directory}/b"));
    assert_eq!(lines[2], format!(r"shared flock {directory}/c\\\n"));
    told(&[]).stdout("\n");
}

#[test]
fn the_status_is_known_even_if_the_end_of_children_was_ignored() {
    let place = Place::new();
    if !env_can("--ignore-signal=CHLD") {
        return;
    }
    let mut command = Command::new("env");
    let command = command
        .arg("--ignore-signal=CHLD")
        .arg(touchfile())
        .arg("run");
    let command = command.arg(place.lock()).args(["--", "sh", "-c", "exit 7"]);
    assert_eq!(Process::spawn(command).ended().code(), Some(7));
}

/// Whether env(1) can set signals like this. If it cannot, prints that the test is skipped.
pub(crate) fn env_can(option: &str) -> bool {
    let output = Command::new("env").args([option, "true"]).output();
    let can = output.is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: env has no {option}");
    }
    can
}

#[test]
fn the_lock_file_is_left_as_it_was() {
    let place = Place::new();
    fs::write(place.lock(), "precious").unwrap();
    run().arg(place.lock()).arg("true").assert().success();
    assert_eq!(fs::read(place.lock()).unwrap(), b"precious");
}

#[test]
fn the_command_takes_the_place_of_touchfile_if_that_is_wanted() {
    let place = Place::new();
    let script = "echo $$; echo $TOUCHFILE_LOCKS; read line || true; exit 7";
    let mut process = place.start(&["--exec", "--env"], &["sh", "-c", script]);
    assert_eq!(process.line(), process.pid().to_string());
    assert!(process.line().starts_with("exclusive flock "));
    place.assert_held();
    process.hang_up();
    assert_eq!(process.ended().code(), Some(7));
    place.assert_free();
    run()
        .arg("--exec")
        .arg(place.lock())
        .arg("/no/such/command")
        .assert()
        .code(69);
    for other in [
        &["--no-inherit"][..],
        &["--limit", "1"],
        &["--kill-after", "1"],
    ] {
        let mut command = run();
        command.arg("--exec").args(other).arg(place.lock());
        command.arg("true").assert().code(64);
    }
}
