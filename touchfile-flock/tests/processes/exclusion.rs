//! Laws 1, 5 and 8: exclusion, release and waiting.

use libtest_mimic::Trial;
use tempfile::tempdir;

use crate::worker::Worker;
use crate::{trial, trial_with};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_exclusive_lock_excludes_other_processes", excludes),
        trial(
            "shared_locks_are_held_together_and_keep_an_exclusive_one_out",
            shares,
        ),
        trial(
            "a_lock_is_free_once_unlocked_dropped_or_its_process_has_ended",
            releases,
        ),
        trial(
            "a_lock_is_free_once_its_process_was_killed",
            released_by_kill,
        ),
        trial(
            "a_waiter_gets_the_lock_of_a_killed_holder",
            handed_over_by_kill,
        ),
        trial_with(
            "flock",
            "flock_of_util_linux_and_touchfile_exclude_each_other",
            excludes_flock,
        ),
    ]
}

fn excludes() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(a.ask("lock exclusive"), "held");
    assert_eq!(b.ask("try exclusive"), "busy");
    assert_eq!(b.ask("try shared"), "busy");
    assert_eq!(b.ask("timeout exclusive"), "timeout");
    assert_eq!(a.ask("unlock"), "released");
    assert_eq!(b.ask("try exclusive"), "held");
}

fn shares() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b, mut c) = (Worker::new(&path), Worker::new(&path), Worker::new(&path));
    assert_eq!(a.ask("lock shared"), "held");
    assert_eq!(b.ask("lock shared"), "held");
    assert_eq!(c.ask("try exclusive"), "busy");
    assert_eq!(a.ask("unlock"), "released");
    assert_eq!(c.ask("try exclusive"), "busy");
    assert_eq!(b.ask("unlock"), "released");
    assert_eq!(c.ask("try exclusive"), "held");
}

fn releases() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b) = (Worker::new(&path), Worker::new(&path));
    for release in ["unlock", "drop"] {
        assert_eq!(a.ask("lock exclusive"), "held");
        assert_eq!(a.ask(release), "released");
        assert_eq!(b.ask("try exclusive"), "held", "after {release}");
        assert_eq!(b.ask("unlock"), "released");
    }
    assert_eq!(a.ask("lock exclusive"), "held");
    a.finish();
    assert_eq!(b.ask("try exclusive"), "held");
}

fn released_by_kill() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut b = Worker::new(&path);
    for mode in ["exclusive", "shared"] {
        let mut a = Worker::new(&path);
        assert_eq!(a.ask(&format!("lock {mode}")), "held");
        assert_eq!(b.ask("try exclusive"), "busy");
        a.kill();
        assert_eq!(b.ask("try exclusive"), "held");
        assert_eq!(b.ask("unlock"), "released");
    }
}

fn handed_over_by_kill() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(a.ask("lock exclusive"), "held");
    b.send("lock exclusive");
    a.kill();
    assert_eq!(b.answer(), "held");
}

fn excludes_flock() {
    let flock = |path: &std::path::Path| {
        let mut command = std::process::Command::new("flock");
        command.arg("--nonblock").arg(path).arg("true").status()
    };
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut a = Worker::new(&path);
    assert_eq!(a.ask("lock exclusive"), "held");
    assert_eq!(flock(&path).unwrap().code(), Some(1), "flock(1) got in");
    assert_eq!(a.ask("unlock"), "released");
    assert!(flock(&path).unwrap().success());
    // This flock(1) holds the lock until its standard input ends.
    let mut command = std::process::Command::new("flock");
    command
        .arg(&path)
        .args(["sh", "-c", "echo '@touchfile held'; cat"]);
    let mut holder = Worker::from_command(&mut command);
    assert_eq!(holder.answer(), "held");
    assert_eq!(a.ask("try exclusive"), "busy");
    holder.finish();
    assert_eq!(a.ask("try exclusive"), "held");
}
