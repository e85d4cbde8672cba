//! What happens at the end of a program and at the end of a thread. Each test runs itself again as a
//! program of its own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, process, thread};

use touchfile::{LockMode, TouchFile};

const ANSWER: &str = "TOUCHFILE_TEST_ANSWER";

/// Runs the test `name` as a program, which finds the path of its answer in the environment.
fn run(name: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let answer = dir.path().join("answer");
    let status = Command::new(env::current_exe().unwrap())
        .args([name, "--exact"])
        .env(ANSWER, &answer)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "{name} failed as a program");
    fs::read_to_string(answer).ok()
}

/// Where to write the answer, in such a program.
fn answer() -> Option<PathBuf> {
    env::var_os(ANSWER).map(PathBuf::from)
}

#[test]
fn a_temporary_file_goes_with_a_guard_that_is_its_last_owner() {
    const NAME: &str = "a_temporary_file_goes_with_a_guard_that_is_its_last_owner";
    if let Some(answer) = answer() {
        let touch = Arc::new(TouchFile::open_temporary().unwrap());
        fs::write(answer, touch.path().to_str().unwrap()).unwrap();
        let guard = touch.blocking_owned().lock_exclusive().unwrap();
        drop(guard);
        process::exit(0); // at once, whatever other threads are about
    }
    for _ in 0..10 {
        let path = run(NAME).unwrap();
        assert!(!Path::new(&path).exists(), "{path} stays behind");
    }
}

/// Locks when its thread ends.
struct Late(PathBuf);

impl Drop for Late {
    fn drop(&mut self) {
        let touch = TouchFile::open(&self.0).unwrap();
        let soon = Duration::from_millis(20);
        let late = touch.blocking().lock_timeout(LockMode::Exclusive, soon);
        assert!(late.unwrap_err().is_timeout());
        fs::write(self.0.with_extension("waits"), "").unwrap();
        touch.blocking().lock_exclusive().unwrap().unlock().unwrap();
    }
}

thread_local! {
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_that_ends_can_wait_for_a_lock() {
    const NAME: &str = "a_thread_that_ends_can_wait_for_a_lock";
    let Some(answer) = answer() else {
        assert_eq!(run(NAME).as_deref(), Some("ended"));
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    // Whether the thread has waited before, when its values were made in this order or the other.
    for waited_before in [false, true] {
        let path = dir.path().join(format!("{waited_before}.lock"));
        let held = TouchFile::open(&path).unwrap();
        let held = Arc::new(held).blocking_owned().lock_exclusive().unwrap();
        let ending = thread::spawn({
            let path = path.clone();
            move || {
                LATE.with(|late| *late.borrow_mut() = Some(Late(path.clone())));
                if waited_before {
                    let touch = TouchFile::open(&path).unwrap();
                    let soon = Duration::from_millis(1);
                    let early = touch.blocking().lock_timeout(LockMode::Shared, soon);
                    assert!(early.unwrap_err().is_timeout());
                }
            }
        });
        while !path.with_extension("waits").exists() {
            thread::sleep(Duration::from_millis(1));
        }
        held.unlock().unwrap();
        ending.join().unwrap();
    }
    fs::write(answer, "ended").unwrap();
}
