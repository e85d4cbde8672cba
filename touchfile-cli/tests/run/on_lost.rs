//! `--on-lost`: what happens when a lock is lost. A lock of a local file is lost when its file is replaced or
//! removed.

use std::fs;

use nix::sys::signal::Signal;

use crate::deadlines::STUBBORN;
use crate::support::{Place, Process, STAY, run, touchfile};

/// Removes the lock file, so that others lock another one.
fn lose_lock(place: &Place) {
    fs::remove_file(place.lock()).unwrap();
}

fn is_lost(place: &Place) -> String {
    let lock = place.lock();
    format!(
        "touchfile: the exclusive lock on {} is lost: the path names another file by now, or none; ",
        lock.display()
    )
}

#[test]
fn a_command_whose_lock_is_lost_receives_the_signal() {
    for (given, shown, received) in [
        ("TERM", "SIGTERM", "TERM"),
        ("SIGHUP", "SIGHUP", "HUP"),
        ("10", "SIGUSR1", "USR1"),
    ] {
        for backend in ["flock", "fcntl"] {
            let place = Place::new();
            let options = ["--backend", backend, "--on-lost", given];
            let mut process = place.start(&options, &["sh", "-c", STUBBORN]);
            assert_eq!(process.line(), "inside");
            lose_lock(&place);
            let line = format!("{}sending {shown} to sh", is_lost(&place));
            assert_eq!(process.complaint(), line);
            assert_eq!(process.line(), received);
            process.send(Signal::SIGUSR2);
            // Its own status would be 42.
            assert_eq!(process.ended().code(), Some(74));
            assert!(process.complaints().is_empty());
        }
    }
}

#[test]
fn a_lock_is_lost_when_another_file_has_its_name() {
    let place = Place::new();
    let mut process = place.start(&["--quiet", "--on-lost", "TERM"], &STAY);
    assert_eq!(process.line(), "inside");
    fs::write(place.file("other"), "").unwrap();
    fs::rename(place.file("other"), place.lock()).unwrap();
    assert_eq!(process.ended().code(), Some(74));
    // Even --quiet reports it.
    let line = format!("{}sending SIGTERM to sh", is_lost(&place));
    assert_eq!(process.complaints(), [line]);
}

#[test]
fn of_several_locks_each_is_watched() {
    for lost in ["a", "b", "c"] {
        let place = Place::new();
        let names = ["a", "b", "c"].map(|name| place.file(name));
        let mut command = std::process::Command::new(touchfile());
        command.args(["run", "--on-lost", "TERM"]).args(names);
        let mut process = Process::spawn(command.arg("--").args(STAY));
        assert_eq!(process.line(), "inside");
        fs::remove_file(place.file(lost)).unwrap();
        let line = process.complaint();
        assert!(line.contains(&format!("/{lost} is lost: ")), "{line}");
        assert_eq!(process.ended().code(), Some(74));
    }
}

#[test]
fn a_command_is_run_with_the_lock_file_and_the_process() {
    let place = Place::new();
    let script = "echo \"$TOUCHFILE_LOST\"; kill -TERM \"$TOUCHFILE_PID\"";
    let options = ["--on-lost", script];
    let command = "trap 'echo told; exit 7' TERM; echo $$; while :; do sleep 0.05; done";
    let mut process = place.start(&options, &["sh", "-c", command]);
    process.line();
    lose_lock(&place);
    let line = format!("{}running the --on-lost command", is_lost(&place));
    assert_eq!(process.complaint(), line);
    assert_eq!(process.complaint(), place.lock().to_str().unwrap());
    assert_eq!(process.line(), "told");
    assert_eq!(process.ended().code(), Some(74));
}

#[test]
fn the_command_of_a_loss_does_not_keep_the_locks() {
    for backend in ["flock", "fcntl"] {
        let place = Place::new();
        let script = "ls -l /proc/self/fd; echo end";
        let options = ["--backend", backend, "--on-lost", script];
        let mut process = place.start(&options, &STAY);
        assert_eq!(process.line(), "inside");
        lose_lock(&place);
        process.complaint();
        let mut listed = Vec::new();
        while listed.last().is_none_or(|line| line != "end") {
            listed.push(process.complaint());
        }
        let open = |line: &String| line.contains("a.lock");
        assert!(!listed.iter().any(open), "{listed:?}");
        process.hang_up();
        assert_eq!(process.ended().code(), Some(74));
    }
}

#[test]
fn a_command_that_does_not_end_after_a_loss_is_killed() {
    for on_lost in ["TERM", "USR1", "true"] {
        let place = Place::new();
        let options = ["--on-lost", on_lost, "--kill-after", "100ms"];
        let mut process = place.start(&options, &["sh", "-c", STUBBORN]);
        assert_eq!(process.line(), "inside");
        lose_lock(&place);
        assert_eq!(process.ended().code(), Some(74));
    }
}

#[test]
fn a_stopped_command_continues_to_end() {
    let place = Place::new();
    let script = "echo inside; kill -STOP $$";
    let mut process = place.start(&["--on-lost", "TERM"], &["sh", "-c", script]);
    assert_eq!(process.line(), "inside");
    lose_lock(&place);
    assert_eq!(process.ended().code(), Some(74));
}

#[test]
fn signals_are_forwarded_while_the_locks_are_watched() {
    let place = Place::new();
    let mut process = place.start(&["--on-lost", "TERM"], &["sh", "-c", STUBBORN]);
    assert_eq!(process.line(), "inside");
    process.send(Signal::SIGHUP);
    assert_eq!(process.line(), "HUP");
    process.send(Signal::SIGUSR2);
    assert_eq!(process.ended().code(), Some(42));
    assert!(process.complaints().is_empty());
    place.assert_free();
}

#[test]
fn what_happens_to_the_file_but_leaves_the_lock_is_no_loss() {
    let place = Place::new();
    for backend in ["flock", "fcntl"] {
        // It takes longer than from one look to the next.
        let script =
            "echo written > \"$0\"; chmod 600 \"$0\"; ln \"$0\" \"$0.$1\"; sleep 2.5; exit 7";
        run()
            .args(["--backend", backend, "--on-lost", "TERM"])
            .arg(place.lock())
            .args(["--", "sh", "-c", script])
            .arg(place.lock())
            .arg(backend)
            .assert()
            .code(7)
            .stderr("");
    }
}

#[test]
fn without_the_option_nobody_looks() {
    let place = Place::new();
    let mut process = place.start(&[], &STAY);
    assert_eq!(process.line(), "inside");
    lose_lock(&place);
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
    assert_eq!(tasks.count(), 1);
    assert!(process.finish().success());
    assert!(process.complaints().is_empty());
}

#[test]
fn what_is_neither_a_signal_nor_a_command_is_refused() {
    for (given, advice) in [
        ("", "give a signal"),
        ("0", "no signal with this number"),
        ("SIGFOO", "no signal with this name"),
        ("term", "for the signal write TERM"),
    ] {
        let place = Place::new();
        let mut command = run();
        command.args(["--on-lost", given]).arg(place.lock());
        let told = command.arg("true").assert().code(64);
        let told = str::from_utf8(&told.get_output().stderr).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(advice), "{told}");
        assert!(place.contents().is_empty());
    }
}
