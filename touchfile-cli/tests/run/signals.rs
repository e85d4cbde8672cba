//! Signals, which are forwarded to the command or end a wait.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::inheritance::env_can;
use crate::support::{Place, Process, touchfile, until};

/// A script that prints that it runs and which signals it receives, and ends at SIGUSR2. A shell checks for
/// signals whenever one of its commands ends, so it misses none.
const CONFIDE: &str = "
    trap 'exit 42' USR2
    for signal in HUP INT QUIT TERM USR1; do trap \"echo $signal\" $signal; done
    echo inside
    while :; do sleep 0.05; done";

#[test]
fn signals_are_passed_on_and_the_commands_status_is_reported() {
    let place = Place::new();
    let mut process = place.start(&[], &["sh", "-c", CONFIDE]);
    assert_eq!(process.line(), "inside");
    for (signal, name) in [
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGUSR1, "USR1"),
    ] {
        process.send(signal);
        assert_eq!(process.line(), name);
        place.assert_held();
    }
    process.send(Signal::SIGUSR2);
    assert_eq!(process.ended().code(), Some(42));
    place.assert_free();
}

#[test]
fn a_command_that_a_passed_on_signal_ends_gives_128_plus_n() {
    for (signal, status) in [
        (Signal::SIGINT, 130),
        (Signal::SIGTERM, 143),
        (Signal::SIGHUP, 129),
    ] {
        let place = Place::new();
        let mut process = place.held(&[]);
        process.send(signal);
        assert_eq!(process.ended().code(), Some(status));
        place.assert_free();
        assert!(process.complaints().is_empty());
    }
}

#[test]
fn a_signal_ends_the_wait_and_leaves_no_waiter_and_no_lock() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = Place::new();
        let mut held = place.held(&["--shared"]);
        let mut waiting = place.waiting(&[], &["echo", "ran"]);
        waiting.send(signal);
        // It is ended by the signal itself, for which a shell reports 128+n.
        assert_eq!(waiting.ended().signal(), Some(signal as i32));
        let mut other = place.held(&["--shared"]); // no writer is before it in the queue
        assert!(other.finish().success());
        assert!(held.finish().success());
        place.assert_free();
    }
}

#[test]
fn a_signal_that_comes_before_the_command_is_there_is_not_lost() {
    // The signal is blocked from the start, so it is pending when the lock is taken.
    if !env_can("--block-signal=TERM") {
        return;
    }
    let place = Place::new();
    let mut held = place.held(&[]);
    // The command starts with the signal blocked. A shell that does not unblock it finds it pending, and
    // another shell is ended by it.
    let script = "until grep -q '^ShdPnd:.*4...$' /proc/$$/status; do :; done; exit 7";
    let mut command = Command::new("env");
    let command = command
        .arg("--block-signal=TERM")
        .arg(touchfile())
        .arg("run");
    let mut waiting = Process::spawn(
        command
            .arg(place.lock())
            .arg("--")
            .args(["sh", "-c", script]),
    );
    place.until_opened_by(&waiting);
    waiting.send(Signal::SIGTERM);
    assert!(held.finish().success());
    assert!(matches!(waiting.ended().code(), Some(7 | 143)));
    place.assert_free();
}

#[test]
fn a_stopped_command_keeps_the_lock_and_its_status_when_it_goes_on() {
    let place = Place::new();
    let script = "echo inside; kill -STOP $$; exit 7";
    let mut process = place.start(&[], &["sh", "-c", &format!("echo $$; {script}")]);
    let pid: i32 = process.line().parse().unwrap();
    assert_eq!(process.line(), "inside");
    until("the command is stopped", || is_stopped(pid));
    place.assert_held();
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    assert_eq!(process.ended().code(), Some(7));
}

fn is_stopped(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| status.contains("\nState:\tT"))
}

#[test]
fn a_signal_that_was_ignored_from_the_start_is_no_reason_to_kill_the_command() {
    if !env_can("--ignore-signal=HUP") {
        return;
    }
    let place = Place::new();
    let mut command = Command::new("env");
    command.arg("--ignore-signal=HUP").arg(touchfile());
    command
        .args(["run", "--kill-after", "0s"])
        .arg(place.lock());
    let script = "trap 'echo here' USR1; echo inside; while :; do sleep 0.05; done";
    let mut process = Process::spawn(command.args(["--", "sh", "-c", script]));
    assert_eq!(process.line(), "inside");
    process.send(Signal::SIGHUP);
    // A command that answers twice after that was not killed in between.
    for _ in 0..2 {
        process.send(Signal::SIGUSR1);
        assert_eq!(process.line(), "here");
    }
    process.send(Signal::SIGTERM);
    assert!(matches!(process.ended().code(), Some(137 | 143)));
}
