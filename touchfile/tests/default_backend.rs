//! `TouchFile` without a backend in sight: nothing but the type is imported.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use touchfile::TouchFile;

fn made() -> touchfile::Result<TouchFile> {
    TouchFile::open_temporary()
}

#[test]
fn the_backend_is_inferred_in_every_position() {
    let dir = tempfile::tempdir().unwrap();
    let touch = TouchFile::open(dir.path().join("a.lock")).unwrap();
    touch.blocking().lock_exclusive().unwrap().unlock().unwrap();
    let paths = ["b.lock", "c.lock"].map(|name| dir.path().join(name));
    let touches: Vec<_> = paths.iter().map(TouchFile::open).collect();
    assert!(touches.iter().all(Result::is_ok));
    let shared = Arc::new(TouchFile::options().path(&paths[0]).build().unwrap());
    let guard = shared.blocking_owned().lock_shared().unwrap();
    assert_eq!(guard.touch_file().path(), paths[0]);
    assert!(made().unwrap().path().exists());
}

#[test]
fn the_locked_file_is_read_and_written_through_the_guard() {
    let touch = TouchFile::options().write(true).build().unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    let mut file = guard.file().unwrap();
    write!(file, "pid {}", std::process::id()).unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("pid {}", std::process::id()));
    assert_eq!(std::fs::read_to_string(guard.path()).unwrap(), text);
}

#[test]
fn a_boxed_backend_has_the_file_and_the_guarantee_of_what_is_inside() {
    let dir = tempfile::tempdir().unwrap();
    let boxed = touchfile::BoxBackend::new(touchfile::AutoBackend::new());
    let touch = TouchFile::new(boxed, dir.path().join("a.lock")).unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    assert!(guard.file().is_ok());
    assert_eq!(touch.guarantee().unwrap(), guard.guarantee().unwrap());
}
