//! Law 7: the lock is on the file that the path names now.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use tempfile::tempdir;

use crate::trial;
use crate::worker::Worker;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_waiter_whose_file_was_unlinked_starts_over", unlinked),
        trial("a_waiter_whose_file_was_replaced_starts_over", replaced),
        trial(
            "a_waiter_does_not_wait_for_a_holder_of_a_file_that_is_gone",
            orphaned,
        ),
        trial(
            "an_idle_handle_does_not_wait_for_a_holder_of_a_file_that_is_gone",
            idle_orphaned,
        ),
        trial(
            "an_idle_handle_on_an_unlinked_file_is_not_reused",
            stale_idle_handle,
        ),
        trial(
            "processes_that_remove_the_file_on_release_exclude_each_other",
            removing,
        ),
    ]
}

fn unlinked() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(a.ask("lock exclusive"), "held");
    b.send("lock exclusive");
    crate::worker::wait_until("the waiter has the file open", || has_open(b.pid(), &path));
    fs::remove_file(&path).unwrap();
    // A third process or the waiter creates the new file. One of them holds the lock first, and then the
    // other.
    let mut c = Worker::new(&path);
    c.send("lock exclusive");
    let mut racers = [b, c];
    let first = crate::worker::first_answer(&mut racers);
    assert_eq!(a.ask("unlock"), "released");
    assert_eq!(a.ask("try exclusive"), "busy");
    assert_eq!(racers[first].ask("unlock"), "released");
    assert_eq!(racers[1 - first].answer(), "held");
    assert_eq!(a.ask("try exclusive"), "busy");
}

fn replaced() {
    let dir = tempdir().unwrap();
    let (path, new) = (dir.path().join("a.lock"), dir.path().join("new.lock"));
    let (mut a, mut b, mut c) = (Worker::new(&path), Worker::new(&path), Worker::new(&new));
    assert_eq!(a.ask("lock exclusive"), "held");
    b.send("lock exclusive");
    crate::worker::wait_until("the waiter has the file open", || has_open(b.pid(), &path));
    // A third process holds the new file before the path names it.
    assert_eq!(c.ask("lock exclusive"), "held");
    fs::rename(&new, &path).unwrap();
    assert_eq!(a.ask("unlock"), "released");
    // The waiter has waited for the removed file. It must find that out, and wait for the new one.
    crate::worker::wait_until("the waiter has let go of the old file", || {
        !has_open_deleted(b.pid(), &path)
    });
    assert_eq!(a.ask("try exclusive"), "busy");
    assert_eq!(c.ask("unlock"), "released");
    assert_eq!(b.answer(), "held");
    assert_eq!(a.ask("try exclusive"), "busy");
}

fn orphaned() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(a.ask("lock exclusive"), "held");
    b.send("lock exclusive");
    crate::worker::wait_until("the waiter has the file open", || has_open(b.pid(), &path));
    fs::remove_file(&path).unwrap();
    assert_eq!(b.answer(), "held"); // although the first never releases the old file
}

fn idle_orphaned() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(b.ask("lock exclusive"), "held");
    assert_eq!(b.ask("unlock"), "released");
    assert_eq!(a.ask("lock exclusive"), "held");
    fs::remove_file(&path).unwrap();
    assert_eq!(b.ask("lock exclusive"), "held");
}

fn stale_idle_handle() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut a, mut b) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(a.ask("lock exclusive"), "held");
    assert_eq!(a.ask("unlock"), "released");
    fs::remove_file(&path).unwrap();
    assert_eq!(b.ask("lock exclusive"), "held");
    assert_eq!(a.ask("try exclusive"), "busy");
}

fn removing() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut workers: Vec<_> = (0..8)
        .map(|_| Worker::with_role("execute commands and remove", &path))
        .collect();
    let mut inside = 0;
    for _ in 0..25 {
        for worker in &mut workers {
            worker.send("lock exclusive");
        }
        // Each holds the lock alone, and releases it. Their order is not fixed.
        for _ in 0..workers.len() {
            let holder = crate::worker::first_answer(&mut workers);
            inside += 1;
            assert!(path.exists(), "the holder's file is gone");
            assert_eq!(workers[holder].ask("unlock"), "released");
        }
    }
    assert_eq!(inside, 200);
    drop(workers);
    assert!(!path.exists(), "the last holder left the file");
}

fn has_open(pid: u32, path: &Path) -> bool {
    open_files(pid).iter().any(|open| open == path)
}

fn has_open_deleted(pid: u32, path: &Path) -> bool {
    let mut deleted = path.as_os_str().to_owned();
    deleted.push(" (deleted)");
    open_files(pid).iter().any(|open| *open == deleted)
}

fn open_files(pid: u32) -> Vec<std::path::PathBuf> {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .collect()
}
