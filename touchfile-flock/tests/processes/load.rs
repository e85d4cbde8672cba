//! Many processes on one counter, and many tasks on one `TouchFile`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Trial;
use tempfile::tempdir;
use touchfile_core::{LockMode, LockSet, TouchFile};
use touchfile_flock::FlockBackend;

use crate::trial;
use crate::worker::{DEADLINE, Worker, commands, say};

const PROCESSES: u64 = 64;
const INCREMENTS: u64 = 200;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "64_processes_increment_a_counter_200_times_and_lose_nothing",
            processes,
        ),
        trial(
            "processes_that_take_two_locks_in_opposite_orders_all_come_to_their_turns",
            opposite_orders,
        ),
        trial("1000_tasks_on_one_touch_file_take_turns_in_order", tasks),
        trial(
            "a_flood_of_readers_and_writers_in_one_process_keeps_the_law",
            readers_and_writers,
        ),
    ]
}

fn processes() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(counter(&path), "0").unwrap();
    let mut workers: Vec<_> = (0..PROCESSES)
        .map(|_| Worker::with_role("increment", &path))
        .collect();
    for worker in &mut workers {
        assert_eq!(worker.answer(), "ready");
    }
    for worker in &mut workers {
        worker.send("go");
    }
    for worker in workers {
        worker.finish();
    }
    let total: u64 = fs::read_to_string(counter(&path)).unwrap().parse().unwrap();
    assert_eq!(total, PROCESSES * INCREMENTS);
}

/// Reads the counter and writes the next number. Only the lock makes this atomic.
pub(crate) fn increment(path: &Path) {
    let touch = TouchFile::new(FlockBackend::new(), path).expect("a touch file");
    say("ready");
    commands().next().expect("an order");
    for _ in 0..INCREMENTS {
        let guard = touch.blocking().lock_exclusive().expect("a lock");
        let count: u64 = fs::read_to_string(counter(path))
            .expect("a counter")
            .parse()
            .expect("a number");
        fs::write(counter(path), (count + 1).to_string()).expect("a counter");
        drop(guard);
    }
}

fn opposite_orders() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(counter(&path), "0").unwrap();
    fs::write(&path, "").unwrap();
    // By names, the first of "a" and "b" would be the second of "b" and "z".
    fs::hard_link(&path, path.with_extension("z")).unwrap();
    let orders = ["lock b", "b lock", "b z", "z b"];
    let mut workers: Vec<_> = orders
        .iter()
        .cycle()
        .take(8)
        .map(|order| {
            let mut worker = Worker::with_role("increment under two locks", &path);
            assert_eq!(worker.answer(), "ready");
            (worker, order)
        })
        .collect();
    for (worker, order) in &mut workers {
        worker.send(order);
    }
    let count = workers.len() as u64;
    for (mut worker, order) in workers {
        assert_eq!(worker.answer(), "done", "{order}");
        worker.finish();
    }
    let total: u64 = fs::read_to_string(counter(&path)).unwrap().parse().unwrap();
    assert_eq!(total, count * INCREMENTS);
}

/// Increments the counter under two locks, which are those of the files with the extensions in a command.
pub(crate) fn increment_under_two_locks(path: &Path) {
    say("ready");
    let order = commands().next().expect("an order");
    let mut set = LockSet::new();
    for extension in order.split(' ') {
        let path = path.with_extension(extension);
        set = set.exclusive(TouchFile::new(FlockBackend::new(), path).expect("a touch file"));
    }
    for _ in 0..INCREMENTS {
        let guards = match set.blocking().lock_timeout(DEADLINE / 2) {
            Ok(guards) => guards,
            Err(error) => return say(&error.to_string()),
        };
        let count: u64 = fs::read_to_string(counter(path))
            .expect("a counter")
            .parse()
            .expect("a number");
        fs::write(counter(path), (count + 1).to_string()).expect("a counter");
        drop(guards);
    }
    say("done");
}

fn counter(path: &Path) -> std::path::PathBuf {
    path.with_extension("counter")
}

fn tasks() {
    let dir = tempdir().unwrap();
    let touch = TouchFile::new(FlockBackend::new(), dir.path().join("a.lock")).unwrap();
    let touch = Arc::new(touch);
    // In one thread the tasks start, and join the queue, in the order in which they are spawned.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let first = touch.clone().lock_exclusive_owned().await.unwrap();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..1000)
            .map(|number| {
                let (touch, order) = (touch.clone(), order.clone());
                tokio::spawn(async move {
                    let guard = touch.lock_exclusive().await.unwrap();
                    order.lock().unwrap().push(number);
                    tokio::task::yield_now().await;
                    drop(guard);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..1000).collect::<Vec<_>>());
    });
}

fn readers_and_writers() {
    let dir = tempdir().unwrap();
    let touch = TouchFile::new(FlockBackend::new(), dir.path().join("a.lock")).unwrap();
    let touch = Arc::new(touch);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (readers, writers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let (touch, readers, writers) = (touch.clone(), readers.clone(), writers.clone());
                tokio::spawn(async move {
                    let mut most_readers = 0;
                    for _ in 0..20 {
                        if number % 10 == 0 {
                            let guard = touch.lock(LockMode::Exclusive).await.unwrap();
                            assert_eq!(writers.fetch_add(1, Ordering::SeqCst), 0);
                            assert_eq!(readers.load(Ordering::SeqCst), 0);
                            tokio::task::yield_now().await;
                            writers.fetch_sub(1, Ordering::SeqCst);
                            drop(guard);
                        } else {
                            let guard = touch.lock(LockMode::Shared).await.unwrap();
                            most_readers = most_readers.max(readers.fetch_add(1, Ordering::SeqCst));
                            assert_eq!(writers.load(Ordering::SeqCst), 0);
                            tokio::task::yield_now().await;
                            readers.fetch_sub(1, Ordering::SeqCst);
                            drop(guard);
                        }
                    }
                    most_readers
                })
            })
            .collect();
        let mut together = HashSet::new();
        for task in tasks {
            together.insert(task.await.unwrap());
        }
        assert!(
            together.iter().any(|readers| *readers > 0),
            "readers never shared the lock"
        );
    });
}
