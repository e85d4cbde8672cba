//! `--watch`, on a terminal and without one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use pty_process::Size;
use pty_process::blocking::{Command as Foreground, Pty, open};

use crate::support::{DEADLINE, Place, touchfile, until};

/// Reads the output until it satisfies a condition.
#[track_caller]
fn shown(screen: &Receiver<String>, satisfies: impl Fn(&str) -> bool) -> String {
    let started = Instant::now();
    let mut shown = String::new();
    while !satisfies(&shown) {
        let left = DEADLINE.saturating_sub(started.elapsed());
        match screen.recv_timeout(left) {
            Ok(more) => shown.push_str(&more),
            Err(_) => panic!("not what was to come: {:?}", shown.lines().last()),
        }
    }
    shown
}

fn screen(terminal: &Pty) -> Receiver<String> {
    let mut output = File::from(terminal.as_fd().try_clone_to_owned().unwrap());
    let (sender, screen) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // Reading fails with EIO after the last process has closed the terminal.
        while let Ok(n @ 1..) = output.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    screen
}

fn watch(place: &Place, colour: &[(&str, &str)]) -> (Pty, std::process::Child) {
    let (keys, terminal) = open().unwrap();
    keys.resize(Size::new(24, 160)).unwrap();
    let command = Foreground::new(touchfile())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(colour.iter().copied())
        .args(["who", "--watch=50ms"])
        .arg(place.lock());
    let child = command.spawn(terminal).unwrap();
    (keys, child)
}

pub(crate) fn it_redraws_what_it_sees_until_ctrl_c() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let pid = held.pid().to_string();
    let (mut keys, mut child) = watch(&place, &[]);
    let screen = screen(&keys);
    // A busy machine may not draw it each second.
    let seen_for = |n| format!("{:<6}touchfile run", format!("{n}s"));
    let later: Vec<String> = (1..60).map(seen_for).collect();
    let seen = shown(&screen, |shown| later.iter().any(|row| shown.contains(row)));
    assert!(seen.contains("\x1b[2J") && seen.contains(&pid), "{seen:?}");
    assert!(seen.contains("\x1b[1mPID"), "{seen:?}");
    assert!(held.finish().success());
    shown(&screen, |shown| shown.contains("nobody "));
    keys.write_all(b"\x03").unwrap();
    let mut status = None;
    until("Ctrl-C ends it", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().signal(), Some(Signal::SIGINT as i32));
    place.assert_free();
}

pub(crate) fn whoever_wants_no_colours_gets_none() {
    let place = Place::new();
    let _held = place.held(&[]);
    let (_keys, mut child) = watch(&place, &[("NO_COLOR", "1")]);
    let screen = screen(&_keys);
    let seen = shown(&screen, |shown| shown.contains("touchfile run"));
    assert!(!seen.contains("\x1b[1m"), "{seen:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(crate) fn elsewhere_each_look_is_a_table_or_a_line_of_json() {
    let place = Place::new();
    let _held = place.held(&[]);
    for (options, separator) in [(&[][..], "\n\nPID"), (&["--json"], "}\n{")] {
        let mut child = Command::new(touchfile())
            .args(["who", "--watch=50ms"])
            .args(options)
            .arg(place.lock())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 4096];
        while !seen.contains(separator) {
            let n = output.read(&mut buffer).unwrap();
            assert!(n > 0, "it ended: {seen}");
            seen.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
        assert!(!seen.contains('\x1b'));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
