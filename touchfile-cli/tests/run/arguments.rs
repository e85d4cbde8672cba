//! The command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Place, run, touchfile, until};

#[test]
fn the_two_dashes_may_be_left_out() {
    let place = Place::new();
    for dashes in [&["--"][..], &[]] {
        run()
            .arg(place.lock())
            .args(dashes)
            .args(["echo", "-n", "--shared", "a"])
            .assert()
            .success()
            .stdout("--shared a");
    }
}

#[test]
fn everything_after_the_first_two_dashes_is_the_commands() {
    let place = Place::new();
    run()
        .arg(place.lock())
        .args(["--", "printf", "%s|"])
        .args(["a", "--", "-x", "", "--help", "--nonblock"])
        .assert()
        .success()
        .stdout("a|--|-x||--help|--nonblock|");
}

#[test]
fn everything_after_the_command_is_the_commands() {
    let place = Place::new();
    run()
        .arg(place.lock())
        .args(["printf", "%s|", "a", "-x", "", "--help", "--nonblock"])
        .assert()
        .success()
        .stdout("a|-x||--help|--nonblock|");
}

#[test]
fn names_and_arguments_need_not_be_unicode() {
    let place = Place::new();
    let odd = OsStr::from_bytes(b"\xff\xfe.lock");
    run()
        .arg(place.file(odd))
        .args(["--", "printf", "%s"])
        .arg(odd)
        .assert()
        .success()
        .stdout(odd.as_bytes())
        .stderr("");
    assert!(place.file(odd).is_file());
}

#[test]
fn options_may_follow_the_lock_file() {
    let place = Place::new();
    let _held = place.held(&[]);
    run()
        .arg(place.lock())
        .args(["--nonblock", "--", "true"])
        .assert()
        .code(1);
}

#[test]
fn wrong_usage_gives_64() {
    for wrong in [
        &[][..],
        &["a.lock"],
        &["a.lock", "--"],
        &["--nonblock", "--timeout", "1s", "a.lock", "true"],
        &["--timeout", "soon", "a.lock", "true"],
        &["--timeout", "-1s", "a.lock", "true"],
        &["--conflict-exit-code", "256", "a.lock", "true"],
        &["--conflict-exit-code", "-1", "a.lock", "true"],
        &["--no-such-option", "a.lock", "true"],
        &["--kill-after", "5x", "a.lock", "true"],
        &["-n", "-w", "5", "a.lock", "true"],
        &["-c", "true", "a.lock"],
        &["--lock-timeout-exit-code", "256", "a.lock", "true"],
        &["--backend", "lockf", "a.lock", "true"],
        &["--jobs", "0", "a.lock", "true"],
        &["--jobs", "1025", "a.lock", "true"],
        &["--jobs", "2", "a.lock", "b.lock", "--", "true"],
        &["-j", "2", "--shared", "a.lock", "true"],
        &["--exec", "--on-lost", "TERM", "a.lock", "true"],
        &["a.lock", "b.lock", "--nonblock", "--", "true"],
        &["a.lock", "b.lock", "--"],
    ] {
        let place = Place::new();
        let told = run()
            .current_dir(place.directory())
            .args(wrong)
            .assert()
            .code(64)
            .stdout("");
        let told = str::from_utf8(&told.get_output().stderr).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.starts_with("touchfile: "), "{told}");
        // The message has a hint.
        assert!(
            told.contains("touchfile run") || told.contains("put options first"),
            "{told}"
        );
        assert!(place.contents().is_empty(), "{wrong:?}");
    }
}

#[test]
fn durations_are_written_as_people_write_them() {
    let place = Place::new();
    for duration in [
        "0s",
        "5",
        "0.5",
        "250ms",
        "5s",
        "1.5m",
        "1m30s",
        "1h 5min",
        "2days",
        "500000000years",
    ] {
        run()
            .args(["--timeout", duration])
            .arg(place.lock())
            .arg("true")
            .assert()
            .success();
    }
}

#[test]
fn the_short_options_are_those_of_flock() {
    let place = Place::new();
    let mut held = place.held(&["-s"]);
    let run_with = |options: &[&str]| {
        let mut command = run();
        command
            .args(options)
            .arg(place.lock())
            .args(["echo", "ran"]);
        command.output().unwrap()
    };
    for (options, status) in [
        (&["-n"][..], 1),
        (&["-n", "-s"], 0),
        (&["-ns"], 0),
        (&["-nsx"], 1),
        (&["-nxs"], 0),
        (&["-nse"], 1),
        (&["-n", "-E", "7"], 7),
        (&["-nE7"], 7),
        (&["-w", "0.05"], 1),
        (&["-w.05", "-E7"], 7),
        (&["--wait", "50ms"], 1),
        (&["--nb"], 1),
        (&["-so"], 0),
    ] {
        let done = run_with(options);
        assert_eq!(done.status.code(), Some(status), "{options:?}: {done:?}");
        assert_eq!(done.stdout.is_empty(), status != 0, "{options:?}: {done:?}");
    }
    assert!(held.finish().success());
}

#[test]
fn a_skip_is_a_line_with_the_holder_if_that_is_wanted() {
    let place = Place::new();
    let held = place.held(&[]);
    let said = |options: &[&str]| {
        let mut command = run();
        command
            .args(options)
            .arg(place.lock())
            .args(["echo", "ran"]);
        let done = command.output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        String::from_utf8(done.stderr).unwrap()
    };
    let lock = place.lock();
    let start = format!(
        "touchfile: the exclusive lock on {} is not free",
        lock.display()
    );
    let holder = format!("held by pid {} (touchfile run ", held.pid());
    for options in [&["-nv"][..], &["-n", "--quiet", "--verbose"]] {
        // On a busy machine the holder may not be found in time. Then the message does not name it.
        until("the message names the holder", || {
            let said = said(options);
            assert!(said.starts_with(&start), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            said.contains(&holder)
        });
    }
    assert_eq!(said(&["-n"]), "");
    assert_eq!(said(&["-nvq"]), "");
    assert_eq!(said(&["-w", "0.05", "-q"]), "");
    assert!(said(&["-w", "0.05"]).contains("gave up after 50ms"));
}

#[test]
fn a_quiet_wait_says_nothing_and_runs_its_command() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let mut waiting = place.start(&["-q", "--on-wait", "echo waiting"], &["echo", "inside"]);
    assert_eq!(waiting.complaint(), "waiting");
    assert!(held.finish().success());
    assert_eq!(waiting.line(), "inside");
    assert!(waiting.ended().success());
    assert!(waiting.complaints().is_empty());
}

#[test]
fn whoever_is_used_to_another_program_is_told_what_to_write() {
    for (words, says) in [
        (&["-c", "true", "a.lock"][..], "-- sh -c"),
        (&["-k", "5", "a.lock", "true"], "--kill-after"),
        (&["-t", "5", "a.lock", "true"], "--timeout"),
        (&["-u", "a.lock", "true"], "touchfile flock"),
        (&["--no-block", "a.lock", "true"], "--nonblock"),
        (&["--timout", "5", "a.lock", "true"], "--timeout"),
        (&["-w", "soon", "a.lock", "true"], "as 5 or 0.5"),
    ] {
        let told = run().args(words).assert().code(64);
        let told = str::from_utf8(&told.get_output().stderr).unwrap();
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn help_has_examples_and_says_what_the_statuses_mean() {
    let help = run().arg("--help").assert().success().stderr("");
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    for part in [
        "touchfile run [OPTIONS] LOCKFILE... -- COMMAND [ARG]...",
        "Examples:",
        "Exit status:",
        "SIGKILL",
    ] {
        assert!(help.contains(part), "{part:?} is missing in {help}");
    }
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
}

#[test]
fn the_version_is_the_packages() {
    assert_cmd::Command::new(touchfile())
        .arg("--version")
        .assert()
        .success()
        .stdout(concat!("touchfile ", env!("CARGO_PKG_VERSION"), "\n"));
}
