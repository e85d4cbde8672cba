//! Law 8: a waiter sleeps until the holder or the kernel wakes it, and polls as long as nothing may wake
//! it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tempfile::tempdir;
use touchfile_flock::FlockBackend;

use crate::trial;
use crate::worker::{Touch, Worker, sleeps_within, takes_less_than, wait_until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "who_waits_for_one_of_us_sleeps_until_it_is_told",
            sleeps_until_told,
        ),
        trial(
            "who_waits_is_told_by_a_holder_whose_file_was_renamed",
            is_told_of_a_renamed_file,
        ),
        trial(
            "who_waits_for_one_of_us_that_cannot_tell_goes_on_looking",
            unmarked,
        ),
        trial(
            "who_waits_for_a_foreign_holder_sleeps_until_it_unlocks",
            sleeps_in_the_kernel,
        ),
        trial(
            "who_waits_for_a_foreign_holder_without_a_thread_goes_on_looking",
            goes_on_looking,
        ),
        trial(
            "who_waits_looks_again_when_a_foreign_holder_comes_in_between",
            looks_again,
        ),
    ]
}

/// How long the sleeps of a worker are counted.
const WHILE: Duration = Duration::from_millis(600);

/// The highest number of sleeps in that time with a poll every quarter of a second, and some other
/// wake-ups. With a poll every few milliseconds there are seventy-five.
const FEW: u64 = 10;

fn all_sleep(workers: &[&Worker]) -> bool {
    let times = sleeps_within(WHILE, workers);
    times
        .iter()
        .all(|times| times.is_some_and(|times| times <= FEW))
}

fn polls(worker: &Worker) -> bool {
    sleeps_within(WHILE, &[worker])[0].is_some_and(|times| times > 2 * FEW)
}

fn waiting(path: &Path) -> Worker {
    wait_with(Worker::new(path))
}

/// A worker that waits as if no thread could be started for it.
fn waiting_without_a_thread(path: &Path) -> Worker {
    let env = ["env", "TOUCHFILE_WAIT_WITHOUT=kernel"];
    wait_with(Worker::under(&env, "execute commands", path))
}

fn wait_with(mut waiter: Worker) -> Worker {
    waiter.send("lock exclusive");
    wait_until("the waiter is in the queue", || waiter.is_in_queue());
    waiter
}

/// The number of waiters.
const ALL: usize = 12;
/// The longest time that all waits together may take after the releases. A sleeping waiter polls after a
/// quarter of a second, so that without wake-ups they would take two to three times as long.
const IN_ALL: Duration = Duration::from_millis(600);

/// Holds locks until the waiters of the paths that `rename` returns sleep, and adds up how long each waits
/// after its lock was released.
fn time_to_wake(rename: impl Fn(&Path) -> PathBuf) -> Duration {
    let dir = tempdir().unwrap();
    let all: Vec<_> = (0..ALL)
        .map(|number| {
            let path = dir.path().join(number.to_string());
            let touch = Arc::new(Touch::new(FlockBackend::new(), &path).unwrap());
            let held = touch.clone().blocking_owned().lock_exclusive().unwrap();
            // It is kept open, because closing it would be an event.
            (touch, held, waiting(&rename(&path)))
        })
        .collect();
    let waiters: Vec<_> = all.iter().map(|(_, _, waiter)| waiter).collect();
    wait_until("the waiters sleep", || all_sleep(&waiters));
    let mut in_all = Duration::ZERO;
    for (_touch, held, mut waiter) in all {
        let released = Instant::now();
        held.unlock().unwrap();
        assert_eq!(waiter.answer(), "held");
        in_all += released.elapsed();
    }
    in_all
}

fn sleeps_until_told() {
    takes_less_than(IN_ALL, || time_to_wake(Path::to_owned));
}

fn is_told_of_a_renamed_file() {
    let rename = |path: &Path| {
        let new = path.with_extension("new");
        fs::rename(path, &new).unwrap();
        new
    };
    takes_less_than(IN_ALL, || time_to_wake(rename));
}

fn unmarked() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut holder = Worker::new(&path);
    assert_eq!(holder.ask("lock exclusive"), "held");
    let mut waiter = waiting_without_a_thread(&path);
    wait_until("the waiter sleeps", || all_sleep(&[&waiter]));
    assert_eq!(holder.ask("unlock-without-descriptors"), "released");
    assert_eq!(waiter.answer(), "held");
    assert_eq!(waiter.ask("unlock"), "released");

    assert_eq!(holder.ask("lock exclusive"), "held");
    waiter.send("lock exclusive");
    thread::sleep(3 * WHILE); // in this time the waiter could adapt its poll interval
    wait_until("the waiter polls", || polls(&waiter));
    assert_eq!(holder.ask("unlock"), "released");
    assert_eq!(waiter.answer(), "held");
}

fn sleeps_in_the_kernel() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let file = File::create(&path).unwrap();
    takes_less_than(IN_ALL / 2, || {
        let mut in_all = Duration::ZERO;
        for _ in 0..ALL / 2 {
            fs4::FileExt::lock(&file).unwrap();
            let mut waiter = waiting(&path);
            wait_until("the waiter sleeps", || all_sleep(&[&waiter]));
            let released = Instant::now();
            fs4::FileExt::unlock(&file).unwrap(); // this causes no event
            assert_eq!(waiter.answer(), "held");
            in_all += released.elapsed();
        }
        in_all
    });
}

fn goes_on_looking() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let file = File::create(&path).unwrap();
    fs4::FileExt::lock(&file).unwrap();
    let mut waiter = waiting_without_a_thread(&path);
    thread::sleep(3 * WHILE); // in this time the waiter could adapt its poll interval
    wait_until("the waiter polls", || polls(&waiter));
    fs4::FileExt::unlock(&file).unwrap(); // this causes no event
    assert_eq!(waiter.answer(), "held");
}

fn looks_again() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut holder = Worker::new(&path);
    assert_eq!(holder.ask("lock exclusive"), "held");
    // It is opened before, because opening would be an event.
    let file = File::open(&path).unwrap();
    let mut waiter = waiting_without_a_thread(&path);
    wait_until("the waiter sleeps", || all_sleep(&[&waiter]));
    // It is blocked in the kernel, and gets the lock first, because the other waiter is stopped.
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
    waiter.stop();
    assert_eq!(holder.ask("unlock"), "released");
    let file = foreign.join().unwrap();
    waiter.resume();
    wait_until("the waiter polls", || polls(&waiter));
    fs4::FileExt::unlock(&file).unwrap();
    assert_eq!(waiter.answer(), "held");
}
