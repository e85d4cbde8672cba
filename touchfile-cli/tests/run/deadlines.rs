//! Time limits of waits and of commands.

use nix::sys::signal::Signal;

use crate::support::{Place, STAY, run, until};

/// A script that prints that it runs and which signals it receives. Only SIGKILL and USR2 end it.
pub(crate) const STUBBORN: &str = "
    trap 'exit 42' USR2
    for signal in HUP INT QUIT TERM USR1; do trap \"echo $signal\" $signal; done
    echo inside
    while :; do sleep 0.05; done";

#[test]
fn the_status_for_giving_up_in_time_can_be_another() {
    let place = Place::new();
    let _held = place.held(&[]);
    let options = ["--conflict-exit-code", "7", "--lock-timeout-exit-code", "8"];
    let give_up = |how: &[&str]| {
        let mut command = run();
        command.args(options).args(how).arg(place.lock());
        command.arg("true").assert()
    };
    give_up(&["--nonblock"]).code(7);
    give_up(&["--timeout", "10ms"]).code(8);
    give_up(&["--timeout", "0s"]).code(8);
}

#[test]
fn a_command_that_does_not_end_when_told_to_is_killed() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ] {
        let place = Place::new();
        let mut process = place.start(&["--kill-after", "100ms"], &["sh", "-c", STUBBORN]);
        assert_eq!(process.line(), "inside");
        process.send(signal);
        assert_eq!(process.ended().code(), Some(128 + 9));
        place.assert_free();
    }
}

#[test]
fn a_command_that_ends_in_time_is_not_killed() {
    let place = Place::new();
    let mut process = place.start(&["--kill-after", "1h"], &["sh", "-c", STUBBORN]);
    assert_eq!(process.line(), "inside");
    process.send(Signal::SIGTERM);
    assert_eq!(process.line(), "TERM");
    process.send(Signal::SIGUSR2);
    assert_eq!(process.ended().code(), Some(42));
}

#[test]
fn no_command_is_killed_that_was_not_told_to_end() {
    let place = Place::new();
    let mut process = place.start(&["--kill-after", "1ms"], &["sh", "-c", STUBBORN]);
    assert_eq!(process.line(), "inside");
    for _ in 0..10 {
        process.send(Signal::SIGUSR1);
        assert_eq!(process.line(), "USR1");
    }
    process.send(Signal::SIGUSR2);
    assert_eq!(process.ended().code(), Some(42));
}

#[test]
fn a_long_wait_runs_a_command_once_beside_the_streams_of_the_other() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let said = place.file("said");
    let script = format!(
        "cat; echo \"$TOUCHFILE_WAITING\" >> '{}'; echo waiting",
        said.display()
    );
    let options = ["--on-wait", &script];
    let mut waiting = place.start(&options, &["sh", "-c", "echo inside; cat"]);
    assert!(waiting.complaint().starts_with("touchfile: waiting for "));
    assert_eq!(waiting.complaint(), "waiting"); // on standard error, and its standard input is empty
    assert!(held.finish().success());
    assert_eq!(waiting.line(), "inside");
    assert!(waiting.finish().success());
    let said = std::fs::read_to_string(said).unwrap();
    assert_eq!(said, format!("{}\n", place.lock().display()));
    assert!(waiting.complaints().is_empty());
}

#[test]
fn where_there_is_no_wait_nothing_is_run() {
    let place = Place::new();
    run()
        .args(["--on-wait", "echo waiting >&2"])
        .arg(place.lock())
        .arg("true")
        .assert()
        .success()
        .stderr("");
}

#[test]
fn a_command_that_goes_on_does_not_delay_the_other() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let options = ["--on-wait", "echo waiting; exec sleep 1000 2>&-"];
    let mut waiting = place.start(&options, &["sh", "-c", "echo $PPID"]);
    assert!(waiting.complaint().starts_with("touchfile: waiting for "));
    assert_eq!(waiting.complaint(), "waiting");
    let left = children(waiting.pid());
    assert!(held.finish().success());
    waiting.line();
    assert!(waiting.ended().success());
    place.assert_free();
    for child in left {
        nix::sys::signal::kill(child, Signal::SIGKILL).unwrap();
    }
}

#[test]
fn a_command_that_takes_too_long_is_told_to_end() {
    let place = Place::new();
    let limited = |options: &[&str], script: &str| {
        let mut command = run();
        command.args(options).arg(place.lock());
        let output = command.args(["--", "sh", "-c", script]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let line = "touchfile: sh took too long, and was told to end\n";
    let told = (Some(124), line.to_owned());
    assert_eq!(limited(&["--limit", "0.1"], "exec sleep 60"), told);
    // Its exit status is not important.
    let script = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    assert_eq!(limited(&["--limit", "0.1"], script), told);
    let quiet = limited(&["-q", "--limit", "0.1"], "exec sleep 60");
    assert_eq!(quiet, (Some(124), String::new()));
    // A stopped command must continue to end.
    assert_eq!(limited(&["--limit", "0.1"], "kill -STOP $$"), told);
    let in_time = limited(&["--limit", "1h"], "exit 7");
    assert_eq!(in_time, (Some(7), String::new()));
    place.assert_free();
}

#[test]
fn a_command_that_takes_too_long_and_does_not_end_is_killed() {
    let place = Place::new();
    let options = ["--limit", "0.1", "--kill-after", "0.1"];
    let mut process = place.start(&options, &["sh", "-c", STUBBORN]);
    assert_eq!(process.line(), "inside");
    assert_eq!(process.line(), "TERM");
    assert_eq!(process.ended().code(), Some(137));
    place.assert_free();
}

#[test]
fn a_command_of_a_wait_that_ends_during_the_wait_is_no_zombie() {
    let place = Place::new();
    let _held = place.held(&[]);
    let mut waiting = place.start(&["--on-wait", "echo waiting"], &STAY);
    assert!(waiting.complaint().starts_with("touchfile: waiting for "));
    assert_eq!(waiting.complaint(), "waiting");
    until("it is gone", || children(waiting.pid()).is_empty());
}

#[test]
fn a_command_of_a_wait_that_ends_during_the_other_is_no_zombie() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let end = place.file("end");
    let script = format!(
        "echo waiting; until test -e {}; do sleep 0.01; done",
        end.display()
    );
    let mut waiting = place.start(&["--on-wait", &script], &STAY);
    assert!(waiting.complaint().starts_with("touchfile: waiting for "));
    assert_eq!(waiting.complaint(), "waiting");
    let of_wait = children(waiting.pid());
    assert_eq!(of_wait.len(), 1);
    assert!(held.finish().success());
    assert_eq!(waiting.line(), "inside");
    std::fs::write(end, "").unwrap();
    until("it is gone", || {
        !children(waiting.pid()).contains(&of_wait[0])
    });
    assert!(waiting.finish().success());
}

/// The children of a process.
pub(crate) fn children(of: nix::unistd::Pid) -> Vec<nix::unistd::Pid> {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    let children = children.unwrap_or_default();
    let numbers = children.split_whitespace().map(|pid| pid.parse().unwrap());
    numbers.map(nix::unistd::Pid::from_raw).collect()
}
