//! `touchfile flock`, compared with flock(1) of util-linux and with its manual.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod differential;
mod manual;
mod waiting;

#[allow(dead_code, reason = "it is shared with the tests of `touchfile run`")]
#[path = "../run/support.rs"]
mod support;

use std::os::unix::fs::symlink;
use std::process::Command;

use support::{Place, touchfile};

/// A directory in which the program under test is called flock.
fn ours() -> Place {
    let place = Place::new();
    symlink(touchfile(), place.file("flock")).unwrap();
    place
}

/// The program under test, under the name flock.
fn flock(ours: &Place) -> Command {
    Command::new(ours.file("flock"))
}
