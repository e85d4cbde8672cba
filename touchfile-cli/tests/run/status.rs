//! The exit statuses, of the command and of giving up.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Place, run};

#[test]
fn the_commands_exit_status_is_passed_on() {
    let place = Place::new();
    for status in [0, 1, 7, 126, 255] {
        run()
            .arg(place.lock())
            .args(["--", "sh", "-c", &format!("exit {status}")])
            .assert()
            .code(status)
            .stderr("");
    }
}

#[test]
fn a_command_ended_by_signal_n_gives_128_plus_n() {
    let place = Place::new();
    for (signal, status) in [("HUP", 129), ("INT", 130), ("KILL", 137), ("TERM", 143)] {
        run()
            .arg(place.lock())
            .args(["--", "sh", "-c", &format!("kill -{signal} $$")])
            .assert()
            .code(status)
            .stderr("");
    }
    place.assert_free();
}

#[test]
fn giving_up_at_once_gives_1_or_what_was_asked_for_and_says_nothing() {
    let place = Place::new();
    let _held = place.held(&[]);
    let give_up = |options: &[&str]| {
        let mut command = run();
        let command = command.arg("--nonblock").args(options).arg(place.lock());
        command
            .args(["--", "echo", "ran"])
            .assert()
            .stdout("")
            .stderr("")
    };
    give_up(&[]).code(1);
    give_up(&["--conflict-exit-code", "0"]).code(0);
    give_up(&["--conflict-exit-code", "99"]).code(99);
    give_up(&["--conflict-exit-code", "255"]).code(255);
}

#[test]
fn giving_up_in_time_gives_1_or_what_was_asked_for_and_says_so_in_one_line() {
    let place = Place::new();
    let _held = place.held(&["--shared"]);
    let lock = place.lock();
    let give_up = |options: &[&str], status: i32, waited: &str| {
        let mut command = run();
        let command = command.args(options).arg(&lock);
        let output = command.args(["--", "echo", "ran"]).output().unwrap();
        assert_eq!(output.status.code(), Some(status));
        assert!(output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        let lock = lock.display();
        let line =
            format!("touchfile: gave up after {waited} waiting for the exclusive lock on {lock}");
        let rest = said.strip_prefix(&line).expect(&said);
        assert!(rest == "\n" || rest.starts_with(", held by pid "), "{said}");
    };
    give_up(&["--timeout", "250ms"], 1, "250ms");
    let other = ["--timeout", "10ms", "--conflict-exit-code", "75"];
    give_up(&other, 75, "10ms");
}

#[test]
fn no_time_at_all_is_one_attempt() {
    let place = Place::new();
    let once = || {
        let mut command = run();
        let command = command.args(["--timeout", "0s"]).arg(place.lock());
        command.args(["--", "echo", "ran"]).assert()
    };
    once().success().stdout("ran\n").stderr("");
    let _held = place.held(&[]);
    once().code(1).stdout("");
}

#[test]
fn a_lock_that_is_free_in_time_is_taken() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let mut waiting = place.waiting(&["--timeout", "1h"], &["echo", "inside"]);
    assert!(held.finish().success());
    assert_eq!(waiting.line(), "inside");
    assert!(waiting.ended().success());
}

#[test]
fn a_command_that_is_not_found_gives_69_and_releases_the_lock() {
    let place = Place::new();
    for missing in ["no-such-command-anywhere", "/no/such/command", ""] {
        let told = run().arg(place.lock()).args(["--", missing]).assert();
        assert_one_line(&told.code(69).stdout("").get_output().stderr, missing);
    }
    place.assert_free();
}

#[test]
fn a_command_that_cannot_be_executed_gives_69_and_releases_the_lock() {
    let place = Place::new();
    let plain = place.file("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for unfit in [plain, place.directory()] {
        let told = run().arg(place.lock()).arg("--").arg(&unfit).assert();
        let told = told.code(69).stdout("");
        assert_one_line(&told.get_output().stderr, unfit.to_str().unwrap());
    }
    place.assert_free();
}

#[track_caller]
fn assert_one_line(stderr: &[u8], naming: &str) {
    let stderr = str::from_utf8(stderr).unwrap();
    assert!(
        stderr.starts_with("touchfile: ") && stderr.ends_with('\n'),
        "{stderr:?}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert!(stderr.contains(naming), "{stderr:?}");
}
