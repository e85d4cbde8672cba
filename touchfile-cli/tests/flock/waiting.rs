//! A wait that is ended by a signal leaves nothing behind.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, Process, STAY, until};
use crate::{flock, ours};

#[test]
fn a_signal_ends_a_wait_with_and_without_a_limit() {
    let ours = ours();
    for options in [
        &[][..],
        &["-w", "3600"],
        &["--fcntl"],
        &["--fcntl", "-w", "3600"],
    ] {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
            let place = Place::new();
            let fcntl: Vec<&str> = options
                .iter()
                .copied()
                .filter(|word| *word == "--fcntl")
                .collect();
            let mut held = start(&ours, &place, &fcntl, &STAY);
            assert_eq!(held.line(), "inside");
            let mut waiting = start(&ours, &place, options, &["echo", "ran"]);
            until("it waits", || blocked_on(&place) == 1);
            waiting.send(signal);
            assert_eq!(waiting.ended().signal(), Some(signal as i32));
            until("nobody waits", || blocked_on(&place) == 0);
            assert!(held.finish().success());
            until("nobody holds it", || locks_on(&place).is_empty());
        }
    }
}

#[test]
fn a_wait_that_is_over_in_time_leaves_nobody_waiting() {
    let (ours, place) = (ours(), Place::new());
    let mut held = start(&ours, &place, &[], &STAY);
    assert_eq!(held.line(), "inside");
    let mut waiting = start(&ours, &place, &["-w", "0.05"], &["echo", "ran"]);
    assert_eq!(waiting.ended().code(), Some(1));
    assert_eq!(blocked_on(&place), 0);
    assert!(held.finish().success());
}

#[test]
fn a_wait_with_a_limit_goes_on_if_whoever_waits_for_it_is_killed() {
    let (ours, place) = (ours(), Place::new());
    let mut held = start(&ours, &place, &[], &STAY);
    assert_eq!(held.line(), "inside");
    let mut waiting = start(&ours, &place, &["-w", "3600"], &["echo", "ran"]);
    until("it waits", || blocked_on(&place) == 1);
    let waiter = children(waiting.pid());
    kill(waiter[0], Signal::SIGKILL).unwrap();
    until("it is gone", || children(waiting.pid()).is_empty());
    assert!(held.finish().success());
    assert_eq!(waiting.line(), "ran");
    assert!(waiting.ended().success());
}

#[test]
fn a_flock_that_is_killed_leaves_the_lock_with_its_command_unless_it_closed_it() {
    let ours = ours();
    for (options, stays) in [(&[][..], true), (&["-o"], false)] {
        let place = Place::new();
        let script = "echo inside; read line || true; echo end";
        let mut process = start(&ours, &place, options, &["sh", "-c", script]);
        assert_eq!(process.line(), "inside");
        process.send(Signal::SIGKILL);
        process.ended();
        if stays {
            place.assert_held();
        } else {
            place.assert_free();
        }
        process.hang_up();
        assert_eq!(process.line(), "end");
        until("the lock is free", || place.is_free());
    }
}

#[test]
fn commands_lose_no_update_whichever_way_they_wait() {
    const TURNS: usize = 10;
    let (ours, place) = (ours(), Place::new());
    let counter = place.file("counter");
    fs::write(&counter, "0\n").unwrap();
    std::thread::scope(|scope| {
        for options in [&[][..], &["-w", "600"], &[], &["-w", "600"]] {
            let (ours, place, counter) = (&ours, &place, &counter);
            scope.spawn(move || {
                for _ in 0..TURNS {
                    let mut command = flock(ours);
                    command.args(options).arg(place.lock());
                    command.args(["sh", "-c", r#"read n < "$0"; echo $((n + 1)) > "$0""#]);
                    assert!(command.arg(counter).status().unwrap().success());
                }
            });
        }
    });
    let total = fs::read_to_string(&counter).unwrap();
    assert_eq!(total.trim(), (TURNS * 4).to_string());
}

fn start(ours: &Place, place: &Place, options: &[&str], command: &[&str]) -> Process {
    Process::spawn(flock(ours).args(options).arg(place.lock()).args(command))
}

/// How many processes wait in the kernel for a lock on the file.
fn blocked_on(place: &Place) -> usize {
    let locks = locks_on(place);
    locks.iter().filter(|line| line.contains("->")).count()
}

/// The lines of /proc/locks for the file.
fn locks_on(place: &Place) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;

    let inode = fs::metadata(place.lock()).unwrap().ino();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let of_file = |line: &&str| {
        let file = line
            .split_whitespace()
            .find(|word| word.matches(':').count() == 2);
        file.is_some_and(|file| file.ends_with(&format!(":{inode}")))
    };
    locks.lines().filter(of_file).map(str::to_owned).collect()
}

fn children(of: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    let children = children.unwrap_or_default();
    let numbers = children.split_whitespace().map(|pid| pid.parse().unwrap());
    numbers.map(Pid::from_raw).collect()
}
