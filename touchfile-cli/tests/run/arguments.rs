//! The command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Place, run, touchfile};

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
        &["--timeout", "5", "a.lock", "true"],
        &["--timeout", "soon", "a.lock", "true"],
        &["--timeout", "-1s", "a.lock", "true"],
        &["--conflict-exit-code", "256", "a.lock", "true"],
        &["--conflict-exit-code", "-1", "a.lock", "true"],
        &["--no-such-option", "a.lock", "true"],
        &["--kill-after", "5", "a.lock", "true"],
        &["--lock-timeout-exit-code", "256", "a.lock", "true"],
        &["--backend", "lockf", "a.lock", "true"],
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
        // What to do next.
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
        "250ms",
        "5s",
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
