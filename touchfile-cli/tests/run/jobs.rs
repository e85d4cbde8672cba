//! `--jobs N`: at most N commands at a time.

use std::fs;
use std::thread;

use nix::sys::signal::Signal;

use crate::deadlines::children;
use crate::support::{Place, Process, STAY, has_open, run, until};

/// So many processes that have printed that they run.
fn running(place: &Place, options: &[&str], count: usize) -> Vec<Process> {
    (0..count).map(|_| place.held(options)).collect()
}

/// A process that waits for a slot, and so has the turn at the gate.
fn waiting(place: &Place, options: &[&str]) -> Process {
    let process = place.start(options, &STAY);
    let slot = place.file("a.lock.1");
    until("it waits for a slot", || has_open(process.pid(), &slot));
    process
}

fn is_full(place: &Place, options: &[&str]) -> bool {
    let mut command = run();
    command
        .args(["-n", "-E", "9"])
        .args(options)
        .arg(place.lock());
    match command.arg("true").output().unwrap().status.code() {
        Some(0) => false,
        Some(9) => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn as_many_run_at_a_time_as_may_and_no_more() {
    for jobs in [1, 2, 5] {
        let place = Place::new();
        let number = jobs.to_string();
        let options = ["--jobs", &number];
        let mut inside = running(&place, &options, jobs);
        assert!(is_full(&place, &options));
        let mut next = waiting(&place, &options);
        assert!(is_full(&place, &options));
        // Whichever ends, the next one starts.
        let mut ended = inside.remove(jobs / 2);
        assert!(ended.finish().success());
        assert_eq!(next.line(), "inside");
        assert!(is_full(&place, &options));
        assert!(next.finish().success());
        assert!(!is_full(&place, &options));
        for mut process in inside {
            assert!(process.finish().success());
        }
        place.assert_free();
    }
}

#[test]
fn in_a_crowd_there_are_never_more() {
    let place = Place::new();
    let room = place.file("room");
    fs::create_dir(&room).unwrap();
    let script = r#"mkdir "$0/$$"; ls "$0" | wc -l; sleep 0.005; rmdir "$0/$$""#;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let mut command = run();
                    command.args(["-q", "--jobs", "3"]).arg(place.lock());
                    let command = command.args(["--", "sh", "-c", script]).arg(&room);
                    let output = command.output().unwrap();
                    assert!(output.status.success(), "{output:?}");
                    let inside = String::from_utf8(output.stdout).unwrap();
                    let inside: u32 = inside.trim().parse().unwrap();
                    assert!((1..=3).contains(&inside), "{inside}");
                }
            });
        }
    });
    let files = ["a.lock", "a.lock.1", "a.lock.2", "a.lock.3", "room"];
    assert_eq!(place.contents(), files);
}

#[test]
fn who_waits_first_runs_first() {
    let place = Place::new();
    let options = ["--jobs", "2"];
    let mut inside = running(&place, &options, 2);
    let mut first = waiting(&place, &options);
    let mut second = place.waiting(&options, &STAY);
    assert!(inside.remove(1).finish().success());
    assert_eq!(first.line(), "inside");
    until("it waits for a slot", || {
        has_open(second.pid(), &place.file("a.lock.1"))
    });
    assert!(first.finish().success());
    assert_eq!(second.line(), "inside");
}

#[test]
fn a_killed_holder_frees_its_slot_when_its_command_has_ended() {
    for (options, keeps) in [
        (&["--jobs", "2"][..], true),
        (&["--jobs", "2", "--no-inherit"], false),
        (&["--jobs", "2", "--backend", "fcntl"], true),
    ] {
        let place = Place::new();
        let _other = place.held(options);
        let killed = place.held(options);
        let mut next = waiting(&place, options);
        let command = children(killed.pid());
        killed.send(Signal::SIGKILL);
        if keeps {
            assert!(is_full(&place, options));
            for pid in command {
                nix::sys::signal::kill(pid, Signal::SIGKILL).ok();
            }
        }
        assert_eq!(next.line(), "inside");
    }
}

#[test]
fn a_waiter_that_is_killed_keeps_nobody_behind_it() {
    let place = Place::new();
    let options = ["--jobs", "2"];
    let mut inside = running(&place, &options, 2);
    let first = waiting(&place, &options);
    let mut second = place.waiting(&options, &STAY);
    first.send(Signal::SIGKILL);
    assert!(inside.remove(0).finish().success());
    assert_eq!(second.line(), "inside");
}

#[test]
fn a_smaller_number_counts_among_the_first_slots() {
    let place = Place::new();
    let mut inside = running(&place, &["--jobs", "3"], 2);
    assert!(is_full(&place, &["-j", "1"]));
    assert!(is_full(&place, &["-j", "2"]));
    assert!(!is_full(&place, &["-j", "3"]));
    assert!(inside.remove(0).finish().success());
    assert!(!is_full(&place, &["-j", "1"]));
}

#[test]
fn those_who_have_a_slot_are_named() {
    let place = Place::new();
    let options = ["--jobs", "2"];
    let inside = running(&place, &options, 2);
    let lock = place.lock();
    let lock = lock.display();
    let permit = format!("one of the 2 permits of {lock}");
    // On a busy machine the holders may not be found in time. Then the message does not name them.
    let told = |how: &[&str], start: &str| {
        until("the message names those who have a slot", || {
            let mut command = run();
            command.args(how).args(options).arg(place.lock());
            let output = command.arg("true").output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.starts_with(&format!("touchfile: {start}")), "{said}");
            let is_named = |process: &Process| said.contains(&format!("pid {} ", process.pid()));
            said.contains(", held by pid ") && inside.iter().all(is_named)
        });
    };
    told(&["-n", "-v"], &format!("{permit} is not free"));
    for time in ["300ms", "0s"] {
        told(
            &["-w", time],
            &format!("gave up after {time} waiting for {permit}"),
        );
    }
    until("the line of the wait names those who have a slot", || {
        let said = waiting(&place, &options).complaint();
        let start = format!("touchfile: waiting for {permit}");
        assert!(said.starts_with(&start), "{said}");
        said.contains(", held by pid ")
    });
}

#[test]
fn other_options_work_with_it() {
    let place = Place::new();
    let slot = place.file("a.lock.1");
    let mut command = run();
    command.args(["--env", "-j", "2"]).arg(place.lock());
    command
        .args(["--", "sh", "-c", "echo $TOUCHFILE_LOCKS"])
        .assert()
        .success()
        .stdout(format!("exclusive flock {}\n", slot.display()));
    let mut exec = place.held(&["--exec", "--jobs", "1"]);
    assert!(is_full(&place, &["-j", "1"]));
    assert!(exec.finish().success());
    let mut process = place.held(&["--on-lost", "TERM", "--jobs", "2"]);
    fs::remove_file(slot).unwrap();
    assert_eq!(process.ended().code(), Some(74));
}
