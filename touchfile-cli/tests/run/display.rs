//! The messages of a wait without a terminal.

use crate::support::{Place, run, until};

#[test]
fn nothing_is_said_if_there_is_no_wait() {
    let place = Place::new();
    let mut process = place.held(&[]);
    assert!(process.finish().success());
    assert!(process.complaints().is_empty());
}

#[test]
fn a_long_wait_is_one_line() {
    for (mode, option) in [("exclusive", None), ("shared", Some("--shared"))] {
        let place = Place::new();
        let mut held = place.held(&[]);
        let options: Vec<&str> = option.into_iter().collect();
        let mut waiting = place.start(&options, &["echo", "inside"]);
        let lock = place.lock();
        let line = format!(
            "touchfile: waiting for the {mode} lock on {}",
            lock.display()
        );
        let said = waiting.complaint();
        let (said, _holders) = said.split_once(", held by ").unwrap_or((&said, ""));
        assert_eq!(said, line);
        assert!(held.finish().success());
        assert_eq!(waiting.line(), "inside");
        assert!(waiting.ended().success());
        assert!(waiting.complaints().is_empty());
    }
}

#[test]
fn the_line_is_not_repeated_while_the_wait_goes_on() {
    let place = Place::new();
    let _held = place.held(&[]);
    let mut waiting = place.start(&["--timeout", "3500ms"], &["echo", "inside"]);
    assert_eq!(waiting.ended().code(), Some(1));
    let said = waiting.complaints();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("waiting for") && said[1].contains("gave up"),
        "{said:?}"
    );
}

#[test]
fn whoever_waits_or_gives_up_is_told_who_holds_the_lock() {
    let place = Place::new();
    let held = place.held(&[]);
    let holder = format!(", held by pid {} (touchfile run ", held.pid());
    // On a busy machine the holder may not be found in time. Then the message does not name it.
    until("the line of the wait names the holder", || {
        let mut waiting = place.start(&[], &["true"]);
        waiting.complaint().contains(&holder)
    });
    until("the line of giving up names the holder", || {
        let mut command = run();
        let command = command.args(["--timeout", "900ms"]).arg(place.lock());
        let output = command.arg("true").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        said.contains("gave up after 900ms") && said.contains(&holder) && said.contains("ms")
    });
}

#[test]
#[cfg(target_os = "linux")]
fn whoever_waits_or_is_refused_is_told_who_waits_before_it() {
    let place = Place::new();
    let held = place.held(&[]);
    let number = |process: &crate::support::Process| process.pid().to_string();
    let refused = || {
        let mut command = run();
        let command = command.args(["--verbose", "--nonblock"]).arg(place.lock());
        let output = command.arg("true").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!refused().contains("this one"));
    // Their own waits are told of on standard error, which nobody reads.
    let first = place.start(&["--quiet"], &["true"]);
    let alone = format!("; pid {} (touchfile run ", number(&first));
    until("the first one is told", || {
        let said = refused();
        said.contains(&alone) && said.ends_with(" waits before this one\n")
    });
    let second = place.start(&["--quiet", "--shared"], &["true"]);
    let both = format!(
        "; 2 wait before this one: pid {}, pid {}",
        number(&first),
        number(&second)
    );
    until("both are told in order", || {
        refused().ends_with(&format!("{both}\n"))
    });
    assert!(refused().contains(&format!(", held by pid {} (", number(&held))));

    // On a busy machine they may not be found in time.
    until(
        "the line of the wait tells of both, and not of itself",
        || {
            let mut waiting = place.start(&[], &["true"]);
            waiting.complaint().ends_with(&both)
        },
    );
    until("the line of giving up tells of both", || {
        let mut command = run();
        let command = command.args(["--timeout", "900ms"]).arg(place.lock());
        let output = command.arg("true").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        said.contains("gave up after 900ms") && said.ends_with(&format!("{both}\n"))
    });
}
