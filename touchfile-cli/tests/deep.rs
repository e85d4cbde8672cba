//! Tests in a directory so deep that its absolute path is too long for any system call.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use tempfile::TempDir;

/// The depth of the directory. Each directory has a name of [`LETTERS`] letters.
const DEPTH: usize = 22;
const LETTERS: usize = 200;

#[test]
fn a_command_is_run_under_a_lock_with_a_relative_name() {
    let deep = Deep::new();
    let done = deep.touchfile(&["run", "a.lock", "./b.lock", "--", "echo", "ran"]);
    assert_eq!(done.stdout, b"ran\n", "{done:?}");
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    // It is the lock of this file: the flock(1) of this program opens it by its relative path.
    let inner = r#""$0" flock -n a.lock true"#;
    let touchfile = cargo_bin!("touchfile").to_str().unwrap();
    let words = ["run", "a.lock", "--", "sh", "-c", inner, touchfile];
    assert_eq!(deep.touchfile(&words).status.code(), Some(1));
}

#[test]
fn locks_are_tried_and_looked_at_there() {
    let deep = Deep::new();
    let done = deep.touchfile(&["doctor"]);
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(report.contains("exclusion        holds"), "{done:?}");
    let done = deep.touchfile(&["doctor", "not-there-yet.lock"]);
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(report.contains("exclusion        holds"), "{done:?}");
    assert!(
        deep.touchfile(&["run", "a.lock", "--", "true"])
            .status
            .success()
    );
    let done = deep.touchfile(&["who", "a.lock"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
}

#[test]
fn what_is_wrong_there_is_told_briefly() {
    let deep = Deep::new();
    let absolute = format!("/{}", "no/".repeat(3_000));
    for words in [
        &["run", "none/a.lock", "--", "true"][..],
        &["run", &absolute, "--", "true"],
        &["doctor", "none/none/a.lock"],
        &["doctor", &absolute],
        &["who", "none/a.lock"],
        &["who", &absolute],
        &["conformance", "--dir", "none"],
        &["conformance", "--dir", &absolute],
    ] {
        let done = deep.touchfile(words);
        assert_eq!(done.status.code(), Some(66), "{words:?}: {done:?}");
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(told.lines().count(), 1, "{words:?}: {told}");
        assert!(told.chars().count() < 1_500, "{words:?}: {told}");
    }
}

/// A deep directory, which is removed when this is dropped.
struct Deep {
    _top: TempDir,
    bottom: File,
}

impl Deep {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let mut bottom = File::open(top.path()).unwrap();
        let name = "d".repeat(LETTERS);
        for _ in 0..DEPTH {
            mkdirat(&bottom, name.as_str(), Mode::RWXU).unwrap();
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            bottom = openat(&bottom, name.as_str(), flags, Mode::empty())
                .unwrap()
                .into();
        }
        Self { _top: top, bottom }
    }

    /// The program, started in the deep directory.
    fn touchfile(&self, words: &[&str]) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", r#"cd -P /proc/self/fd/0 && exec "$0" "$@""#]);
        command.arg(cargo_bin!("touchfile")).args(words);
        let bottom = self.bottom.try_clone().unwrap();
        command.stdin(bottom).output().unwrap()
    }
}
