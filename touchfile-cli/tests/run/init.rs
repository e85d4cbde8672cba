//! Tests as process 1, like the only program of a container.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;

use crate::deadlines::children;
use crate::support::{Place, Process, has_open, touchfile, until};

#[test]
fn a_wait_as_process_1_ends_at_signals_too() {
    for command in ["run", "flock"] {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let place = Place::new();
            let mut held = place.held(&[]);
            let Some(mut outer) = in_new_pid_namespace(&[command, place.lock().to_str().unwrap()])
            else {
                return;
            };
            let mut init = None;
            until("process 1 waits", || {
                init = children(outer.pid()).first().copied();
                init.is_some_and(|init| has_open(init, &place.lock()))
            });
            kill(init.unwrap(), signal).unwrap();
            assert_eq!(outer.ended().code(), Some(128 + signal as i32), "{command}");
            place.assert_held();
            assert!(held.finish().success());
            place.assert_free();
        }
    }
}

#[test]
fn a_command_of_process_1_has_its_signals_passed_on() {
    let place = Place::new();
    let lock = place.lock();
    let script = "trap 'exit 42' TERM; echo inside; while :; do sleep 0.05; done";
    let words = ["run", lock.to_str().unwrap(), "--", "sh", "-c", script];
    let Some(mut outer) = in_new_pid_namespace(&words) else {
        return;
    };
    assert_eq!(outer.line(), "inside");
    kill(children(outer.pid())[0], Signal::SIGTERM).unwrap();
    assert_eq!(outer.ended().code(), Some(42));
}

#[test]
fn process_1_lets_no_orphan_stay_a_zombie_while_its_command_runs() {
    for command in [&["run"][..], &["run", "--kill-after", "10s"], &["flock"]] {
        let place = Place::new();
        let lock = place.lock();
        // The subshell ends before its child, which then becomes a child of process 1.
        let script = r#"
            orphan=$(sleep 0.05 > /dev/null & echo $!)
            while test -e /proc/$orphan; do sleep 0.01; done
            echo gone; exit 7"#;
        let words = [lock.to_str().unwrap(), "sh", "-c", script];
        let Some(mut outer) = in_new_pid_namespace(&[command, &words].concat()) else {
            return;
        };
        assert_eq!(outer.line(), "gone", "{command:?}");
        assert_eq!(outer.ended().code(), Some(7), "{command:?}");
    }
}

#[test]
fn process_1_lets_no_orphan_stay_a_zombie_while_it_waits() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let lock = place.lock();
    let Some(mut outer) = in_new_pid_namespace(&["run", lock.to_str().unwrap()]) else {
        return;
    };
    until("process 1 waits", || {
        let init = children(outer.pid()).first().copied();
        init.is_some_and(|init| has_open(init, &lock))
    });
    let init = children(outer.pid())[0];
    let mut enter = Command::new("nsenter");
    enter.args(["--target", &init.to_string(), "--pid", "--mount"]);
    let left = enter.args(["sh", "-c", "sleep 0.05 > /dev/null & echo left"]);
    assert_eq!(left.output().unwrap().stdout, b"left\n");
    until("it has no children", || children(init).is_empty());
    assert!(held.finish().success());
    assert!(outer.ended().success());
}

/// Starts `touchfile` as the first process of a new namespace, as a child of the returned process. If that
/// is impossible, prints that the test is skipped.
fn in_new_pid_namespace(words: &[&str]) -> Option<Process> {
    let mut command = new_pid_namespace()?;
    command.arg(touchfile()).args(words);
    if words.len() == 2 {
        command.args(["echo", "ran"]);
    }
    Some(Process::spawn(&mut command))
}

/// The command that runs its arguments as the first process of a new namespace. If that is impossible,
/// prints that the test is skipped.
pub(crate) fn new_pid_namespace() -> Option<Command> {
    let unshare = || {
        let mut command = Command::new("unshare");
        if !geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command
    };
    let possible = unshare().arg("true").output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("skipped: there can be no new pid namespace here");
        return None;
    }
    Some(unshare())
}
