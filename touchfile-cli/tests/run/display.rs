//! What is said during a wait, where nobody watches.

use crate::support::Place;

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
        assert_eq!(waiting.complaint(), line);
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
