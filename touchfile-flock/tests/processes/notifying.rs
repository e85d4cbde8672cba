//! Law 8: each of many waiters in a process is woken for its lock, whatever the others do.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use touchfile_core::TouchFile;
use touchfile_flock::FlockBackend;

use crate::trial;
use crate::worker::{
    Held, Touch, Worker, commands, say, sleeps_within, takes_less_than, wait_until,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "locks_that_are_released_at_once_are_told_to_each_thread_that_waits",
            each_thread,
        ),
        trial(
            "who_ends_a_wait_takes_no_event_from_a_wait_in_another_runtime",
            takes_nothing,
        ),
        trial(
            "a_wait_that_is_kept_and_not_polled_keeps_nothing_from_another",
            not_polled,
        ),
    ]
}

/// The number of files that one process holds and another waits for.
const FILES: usize = 12;

const ROUNDS: u32 = 4;
/// The longest time that all waits of all rounds together may take after the releases. A waiter that is not
/// woken polls an eighth of a second later on average, so that without wake-ups they would take five times
/// as long.
const IN_ALL: Duration = Duration::from_millis(1_200);

fn file(path: &Path, number: usize) -> PathBuf {
    path.with_extension(number.to_string())
}

fn touch_at(path: &Path) -> Arc<Touch> {
    Arc::new(TouchFile::new(FlockBackend::new(), path).expect("a touch file"))
}

/// Whether all waiters poll with their longest interval. Then each polls two or three times in this while,
/// with up to three sleeps for each poll.
fn all_sleep(worker: &Worker, waits: usize) -> bool {
    let times = sleeps_within(Duration::from_millis(600), &[worker]);
    times[0].is_some_and(|times| times <= 8 * waits as u64)
}

fn holding(path: &Path) -> Worker {
    let mut holder = Worker::with_role("hold all", path);
    assert_eq!(holder.ask("lock"), "held");
    holder
}

/// How long all waits of `waiter` together take after their locks were released.
fn time_to_wake(waiter: &mut Worker, mut holder: Worker, is_killed: bool) -> Duration {
    wait_until("all sleep", || all_sleep(waiter, FILES));
    let released = Instant::now();
    if is_killed {
        holder.kill();
    } else {
        holder.send("unlock");
    }
    let mut in_all = Duration::ZERO;
    for _ in 0..FILES {
        assert_eq!(waiter.answer(), "held");
        in_all += released.elapsed();
    }
    in_all
}

fn rounds_take_less_than(in_all: Duration, rounds: u32, mut round: impl FnMut(u32) -> Duration) {
    takes_less_than(in_all, || (0..rounds).map(&mut round).sum());
}

fn each_thread() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut waiter = Worker::with_role("wait in threads", &path);
    let round = |round| {
        let holder = holding(&path);
        waiter.send("lock");
        wait_until("a thread is in the queue", || waiter.is_in_queue());
        let in_all = time_to_wake(&mut waiter, holder, round % 2 == 1);
        assert_eq!(waiter.answer(), "had them all");
        in_all
    };
    rounds_take_less_than(IN_ALL, ROUNDS, round);
    waiter.finish();
}

fn takes_nothing() {
    const ROUNDS: u32 = 8;
    /// The longest time that all rounds together may take. If the event were lost, each round would take up
    /// to a quarter of a second more, and all together less than this once in ten thousand times.
    const IN_ALL: Duration = Duration::from_millis(300);

    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut waiter = Worker::with_role("wait in two runtimes", &path);
    let round = |_| {
        let mut holder = holding(&path);
        waiter.send("lock");
        wait_until("one is in the queue", || waiter.is_in_queue());
        wait_until("both sleep", || all_sleep(&waiter, 2));
        // The event of one wait is read only after the other wait has read its own and has ended.
        assert_eq!(waiter.ask("pause"), "paused");
        assert_eq!(holder.ask("unlock one"), "released");
        assert_eq!(waiter.answer(), "one is held");
        assert_eq!(holder.ask("unlock one"), "released");
        assert_eq!(waiter.ask("drop"), "dropped");
        let resumed = Instant::now();
        assert_eq!(waiter.ask("resume"), "the other is held");
        resumed.elapsed()
    };
    rounds_take_less_than(IN_ALL, ROUNDS, round);
    waiter.finish();
}

fn not_polled() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut waiter = Worker::with_role("wait and keep a wait", &path);
    let round = |_| {
        let holder = holding(&path);
        waiter.send("lock");
        assert_eq!(waiter.answer(), "keeps one");
        let in_all = time_to_wake(&mut waiter, holder, false);
        assert_eq!(waiter.answer(), "had the others");
        in_all
    };
    rounds_take_less_than(IN_ALL, ROUNDS, round);
    waiter.finish();
}

/// Holds the locks of all files and of one more, and releases them one after the other.
pub(crate) fn hold_all(path: &Path) {
    let touches: Vec<_> = (0..=FILES)
        .map(|number| touch_at(&file(path, number)))
        .collect();
    let mut held: Vec<Held> = Vec::new();
    for order in commands() {
        match order.as_str() {
            "lock" => {
                let lock = |touch: &Arc<Touch>| touch.clone().blocking_owned().lock_exclusive();
                held.extend(touches.iter().map(|touch| lock(touch).expect("a lock")));
                say("held");
            }
            "unlock one" => {
                drop(held.remove(0));
                say("released");
            }
            _ => held.clear(),
        }
    }
}

/// Waits for the locks of all files, each in its own thread.
pub(crate) fn wait_in_threads(path: &Path) {
    for _ in commands() {
        thread::scope(|threads| {
            for number in 1..=FILES {
                let touch = touch_at(&file(path, number));
                threads.spawn(move || {
                    let _held = touch.blocking().lock_exclusive().expect("a lock");
                    say("held");
                });
            }
        });
        say("had them all");
    }
}

/// Waits for two locks in two runtimes. The second runtime is blocked for a while.
pub(crate) fn wait_in_two_runtimes(path: &Path) {
    let (one, other) = (touch_at(&file(path, 0)), touch_at(&file(path, 1)));
    let runtime = current_thread();
    let mut commands = commands();
    let mut next_is = |expected: &str| {
        let command = commands.next()?;
        assert_eq!(command, expected);
        Some(())
    };
    while next_is("lock").is_some() {
        thread::scope(|threads| {
            let (drops, is_to_drop) = mpsc::channel::<()>();
            let (stop, is_to_stop) = oneshot::channel::<()>();
            let (resumes, is_to_resume) = mpsc::channel::<()>();
            let one = &one;
            let first = threads.spawn(move || {
                let held = one.blocking().lock_exclusive().expect("a lock");
                say("one is held");
                is_to_drop.recv().expect("a command");
                drop(held);
            });
            let other = other.clone();
            let runtime = &runtime;
            threads.spawn(move || {
                let wait = async move { other.lock_exclusive().await.map(drop) };
                let wait = runtime.spawn(wait);
                runtime.block_on(is_to_stop).expect("a command");
                say("paused");
                is_to_resume.recv().expect("a command");
                let had = runtime.block_on(wait).expect("no panic");
                had.expect("a lock");
                say("the other is held");
            });
            next_is("pause").expect("a command");
            stop.send(()).expect("it waits");
            next_is("drop").expect("a command");
            drops.send(()).expect("it holds the lock");
            first.join().expect("no panic");
            say("dropped");
            next_is("resume").expect("a command");
            resumes.send(()).expect("it is paused");
        });
    }
}

fn current_thread() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// Waits for the locks of all files in one runtime, after another wait that is not polled any more.
pub(crate) fn wait_and_keep_a_wait(path: &Path) {
    let runtime = current_thread();
    for _ in commands() {
        runtime.block_on(async {
            let kept = touch_at(&file(path, 0));
            let mut wait = std::pin::pin!(kept.lock_exclusive());
            let waits = Duration::from_millis(100);
            let polled = tokio::time::timeout(waits, wait.as_mut()).await;
            assert!(polled.is_err(), "it is held");
            say("keeps one");
            let mut others = JoinSet::new();
            for number in 1..=FILES {
                let touch = touch_at(&file(path, number));
                others.spawn(async move {
                    let _held = touch.lock_exclusive().await.expect("a lock");
                    say("held");
                });
            }
            while let Some(had) = others.join_next().await {
                had.expect("no panic");
            }
            say("had the others");
        });
    }
}
