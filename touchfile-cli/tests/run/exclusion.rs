//! Which commands run at the same time.

use std::fs;
use std::process::Command;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, Process, STAY, installed, run, touchfile};

#[test]
fn commands_take_turns_and_lose_no_update() {
    const PROCESSES: u32 = 8;
    const TURNS: u32 = 10;
    let place = Place::new();
    let counter = place.file("counter");
    fs::write(&counter, "0\n").unwrap();
    thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                for _ in 0..TURNS {
                    run()
                        .arg(place.lock())
                        .args(["--", "sh", "-c"])
                        .arg(r#"read n < "$0"; echo $((n + 1)) > "$0""#)
                        .arg(&counter)
                        .assert()
                        .success();
                }
            });
        }
    });
    let total = fs::read_to_string(&counter).unwrap();
    assert_eq!(total.trim(), (PROCESSES * TURNS).to_string());
}

#[test]
fn shared_commands_run_together() {
    let place = Place::new();
    let mut one = place.held(&["--shared"]);
    let mut other = place.held(&["--shared"]); // it holds the lock together with the first
    assert!(one.finish().success());
    assert!(other.finish().success());
}

#[test]
fn an_exclusive_command_waits_for_shared_ones() {
    let place = Place::new();
    let log = place.file("log");
    let append = r#"echo inside; read line || true; echo "$1" >> "$0""#;
    let log_name = log.to_str().unwrap();
    let mut shared = place.start(&["--shared"], &["sh", "-c", append, log_name, "shared"]);
    assert_eq!(shared.line(), "inside");
    let mut exclusive = place.waiting(&[], &["sh", "-c", append, log_name, "exclusive"]);
    exclusive.hang_up(); // it would end, if it held the lock
    assert!(shared.finish().success());
    assert!(exclusive.ended().success());
    assert_eq!(fs::read_to_string(log).unwrap(), "shared\nexclusive\n");
}

#[test]
fn a_shared_command_waits_for_an_exclusive_one() {
    let place = Place::new();
    let mut exclusive = place.held(&[]);
    run()
        .args(["--nonblock", "--shared"])
        .arg(place.lock())
        .arg("true")
        .assert()
        .code(1);
    let mut shared = place.waiting(&["--shared"], &STAY);
    assert!(exclusive.finish().success());
    assert_eq!(shared.line(), "inside");
    assert!(shared.finish().success());
}

#[test]
fn nested_commands_hold_both_locks() {
    let place = Place::new();
    let inner = place.file("b.lock");
    let nested = [
        touchfile().to_str().unwrap(),
        "run",
        inner.to_str().unwrap(),
        "--",
    ];
    let mut process = place.start(&[], &[&nested[..], &STAY[..]].concat());
    assert_eq!(process.line(), "inside");
    place.assert_held();
    run()
        .arg("--nonblock")
        .arg(&inner)
        .arg("true")
        .assert()
        .code(1);
    assert!(process.finish().success());
    place.assert_free();
    run()
        .arg("--nonblock")
        .arg(&inner)
        .arg("true")
        .assert()
        .success();
}

#[test]
fn a_directory_can_be_the_lock_file() {
    let place = Place::new();
    fs::create_dir(place.lock()).unwrap();
    let mut process = place.held(&[]);
    place.assert_held();
    assert!(process.finish().success());
    place.assert_free();
}

#[test]
fn a_process_left_in_the_background_does_not_prolong_the_lock() {
    let place = Place::new();
    let leave = "sleep 60 > /dev/null 2>&1 & echo $!";
    let mut process = place.start(&[], &["sh", "-c", leave]);
    let left = Pid::from_raw(process.line().parse().unwrap());
    assert!(process.ended().success());
    place.assert_free();
    kill(left, Signal::SIGKILL).unwrap(); // it has run all the time
}

#[test]
fn touchfile_and_flock_exclude_each_other() {
    if !installed("flock") {
        return;
    }
    let place = Place::new();
    let flock = |option: &str| {
        let mut command = Command::new("flock");
        command
            .args(["--nonblock", option])
            .arg(place.lock())
            .arg("true");
        command.status().unwrap().code()
    };

    let mut touchfile = place.held(&[]);
    assert_eq!(flock("--shared"), Some(1));
    assert!(touchfile.finish().success());

    let mut shared = place.held(&["--shared"]);
    assert_eq!(flock("--exclusive"), Some(1));
    assert_eq!(flock("--shared"), Some(0));
    assert!(shared.finish().success());

    let mut foreign = Command::new("flock");
    let mut foreign = Process::spawn(foreign.arg(place.lock()).args(STAY));
    assert_eq!(foreign.line(), "inside");
    place.assert_held();
    let mut waiting = place.waiting(&[], &STAY);
    assert!(foreign.finish().success());
    assert_eq!(waiting.line(), "inside");
    assert!(waiting.finish().success());
}
