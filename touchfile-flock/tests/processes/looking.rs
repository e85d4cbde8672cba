//! Law 8: who waits for one of us sleeps until it is told, and looks for as long as anybody else may
//! hold the lock.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tempfile::tempdir;

use crate::trial;
use crate::worker::{Worker, wait_until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "who_waits_for_one_of_us_sleeps_until_it_is_told",
            sleeps_until_told,
        ),
        trial(
            "who_waits_for_a_foreign_holder_goes_on_looking",
            goes_on_looking,
        ),
        trial(
            "who_waits_looks_again_when_a_foreign_holder_comes_in_between",
            looks_again,
        ),
    ]
}

/// How long a worker is watched.
const WHILE: Duration = Duration::from_millis(600);

/// A look every second, and what else may wake it up; a look every few milliseconds is sixty.
const FEW: u64 = 5;

fn wake_ups(worker: &Worker) -> u64 {
    let before = worker.times_slept();
    thread::sleep(WHILE);
    worker.times_slept() - before
}

fn sleeps(worker: &Worker) -> bool {
    wake_ups(worker) <= FEW
}

fn looks(worker: &Worker) -> bool {
    wake_ups(worker) > 2 * FEW
}

fn waiting(path: &Path) -> Worker {
    let mut waiter = Worker::new(path);
    waiter.tell("lock exclusive");
    wait_until("the waiter is in line", || waiter.is_in_line());
    waiter
}

fn sleeps_until_told() {
    /// They would take three times as long if each were half a second, which the next look is away.
    const ROUNDS: u32 = 6;
    const IN_ALL: Duration = Duration::from_secs(1);

    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut holder = Worker::new(&path);
    let mut in_all = Duration::ZERO;
    for _ in 0..ROUNDS {
        assert_eq!(holder.ask("lock exclusive"), "held");
        let mut waiter = waiting(&path);
        wait_until("the waiter sleeps", || sleeps(&waiter));
        let released = Instant::now();
        assert_eq!(holder.ask("unlock"), "released");
        assert_eq!(waiter.answer(), "held");
        in_all += released.elapsed();
    }
    assert!(in_all < IN_ALL, "{in_all:?}");
}

fn goes_on_looking() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let file = File::create(&path).unwrap();
    fs4::FileExt::lock(&file).unwrap();
    let mut waiter = waiting(&path);
    thread::sleep(3 * WHILE); // for it to become acquainted, if it would
    wait_until("the waiter looks", || looks(&waiter));
    fs4::FileExt::unlock(&file).unwrap(); // which makes no event
    assert_eq!(waiter.answer(), "held");
}

fn looks_again() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut holder = Worker::new(&path);
    assert_eq!(holder.ask("lock exclusive"), "held");
    // Opened before, as that would be an event.
    let file = File::open(&path).unwrap();
    let mut waiter = waiting(&path);
    wait_until("the waiter sleeps", || sleeps(&waiter));
    // It is blocked in the kernel, and so the first to have the lock.
    let foreign = thread::spawn(move || {
        fs4::FileExt::lock(&file).unwrap();
        file
    });
    let us = format!(" {} ", std::process::id());
    wait_until("it is blocked", || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let mut waiting = locks.lines().filter(|line| line.contains("->"));
        waiting.any(|line| line.contains(&us))
    });
    assert_eq!(holder.ask("unlock"), "released");
    let file = foreign.join().unwrap();
    wait_until("the waiter looks", || looks(&waiter));
    fs4::FileExt::unlock(&file).unwrap();
    assert_eq!(waiter.answer(), "held");
}
