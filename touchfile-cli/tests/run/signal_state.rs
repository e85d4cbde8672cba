//! A command starts with the ignored and blocked signals with which `touchfile` was started.

use std::fs;
use std::process::Command;

use crate::inheritance::env_can;
use crate::init::new_pid_namespace;
use crate::support::{Place, Process, STAY, touchfile, until};

/// Prints the blocked and ignored signals of its own process.
const ASK: &str = "grep -E '^Sig(Blk|Ign):' /proc/self/status";

/// Signals 32 and 33, which the C library uses for itself (signal(7)).
const OF_THE_C_LIBRARY: u64 = 0b11 << 31;

/// The state of signals before `touchfile` is started.
const STATES: [&[&str]; 6] = [
    &[],
    &["--ignore-signal=PIPE"],
    &["--ignore-signal=CHLD"],
    &["--ignore-signal=HUP,INT,QUIT,TERM,USR1,USR2,PIPE,CHLD,TSTP"],
    &["--block-signal=PIPE,CHLD,TERM,USR1,WINCH"],
    &["--ignore-signal=PIPE,HUP", "--block-signal=CHLD,INT"],
];

/// The ways to start a command. `LOCK` stands for the lock file.
const WAYS: [&[&str]; 8] = [
    &["run", "LOCK", "--"],
    &["run", "--no-inherit", "--kill-after", "10s", "LOCK", "--"],
    &["run", "--env", "LOCK", "--"],
    &["run", "--exec", "LOCK", "--"],
    &["flock", "LOCK"],
    &["flock", "--no-fork", "LOCK"],
    &["flock", "--close", "LOCK"],
    &["flock", "--timeout", "10", "LOCK"],
];

#[test]
fn a_command_starts_with_the_signals_that_touchfile_was_started_with() {
    if !env_can("--block-signal=TERM") {
        return;
    }
    let place = Place::new();
    for state in STATES {
        let expected = answer(Command::new("env").args(state).args(["sh", "-c", ASK]));
        for way in WAYS {
            let mut command = Command::new("env");
            command.args(state).arg(touchfile());
            command.args(with_lock(way, &place)).args(["sh", "-c", ASK]);
            assert_eq!(answer(&mut command), expected, "{state:?} {way:?}");
        }
    }
}

#[test]
fn a_command_of_process_1_starts_with_them_too() {
    if !env_can("--block-signal=TERM") {
        return;
    }
    let place = Place::new();
    for state in STATES {
        let Some(mut bare) = new_pid_namespace() else {
            return;
        };
        let expected = answer(bare.arg("env").args(state).args(["sh", "-c", ASK]));
        for way in WAYS {
            let mut command = new_pid_namespace().expect("there was one");
            command.arg("env").args(state).arg(touchfile());
            command.args(with_lock(way, &place)).args(["sh", "-c", ASK]);
            assert_eq!(answer(&mut command), expected, "{state:?} {way:?}");
        }
    }
}

#[test]
fn the_command_of_a_long_wait_starts_with_them_too() {
    if !env_can("--block-signal=TERM") {
        return;
    }
    for state in STATES {
        let place = Place::new();
        let mut held = place.held(&[]);
        let (told, whole) = (place.file("told"), place.file("whole"));
        let script = format!(
            "{ASK} > '{}' && mv '{0}' '{}'",
            told.display(),
            whole.display()
        );
        let mut command = Command::new("env");
        command.args(state).arg(touchfile());
        command
            .args(["run", "--on-wait", &script])
            .arg(place.lock());
        let mut waiting = Process::spawn(command.args(STAY));
        until("the wait is long", || whole.exists());
        let expected = answer(Command::new("env").args(state).args(["sh", "-c", ASK]));
        assert_eq!(
            masks(&fs::read_to_string(&whole).unwrap()),
            expected,
            "{state:?}"
        );
        assert!(held.finish().success());
        assert!(waiting.finish().success());
    }
}

fn with_lock(way: &[&str], place: &Place) -> Vec<String> {
    let lock = place.lock().to_str().unwrap().to_owned();
    let words = way.iter().map(|word| match *word {
        "LOCK" => lock.clone(),
        word => word.to_owned(),
    });
    words.collect()
}

#[track_caller]
fn answer(command: &mut Command) -> Vec<(String, u64)> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    masks(&String::from_utf8(output.stdout).unwrap())
}

/// The masks in an answer, by their names.
fn masks(answer: &str) -> Vec<(String, u64)> {
    let masks = answer.lines().map(|line| {
        let (name, mask) = line.split_once(":\t").unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        (name.to_owned(), mask & !OF_THE_C_LIBRARY)
    });
    masks.collect()
}
