//! Laws 3 and 4: a wait that is given up leaves nothing behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tempfile::tempdir;
use tokio::task::JoinSet;
use touchfile_core::{LockMode, TouchFile};
use touchfile_flock::FlockBackend;

use crate::trial;
use crate::worker::{Worker, belongings, commands, has_no_more_than, say};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "a_cancelled_waiter_leaves_no_thread_descriptor_or_lock_behind",
        leaves_nothing,
    )]
}

fn leaves_nothing() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut holder = Worker::new(&path);
    let mut waiter = Worker::with_role("cancel", &path);
    for _ in 0..3 {
        assert_eq!(waiter.answer(), "ready");
        assert_eq!(holder.ask("lock exclusive"), "held");
        waiter.send("wait and cancel");
        assert_eq!(waiter.answer(), "nothing left");
        assert_eq!(holder.ask("unlock"), "released");
        // Nothing takes the free lock, and the other process gets it at once.
        waiter.send("race");
        assert_eq!(holder.ask("lock exclusive"), "held");
        assert_eq!(holder.ask("unlock"), "released");
        assert_eq!(waiter.answer(), "nothing left");
        assert_eq!(holder.ask("try exclusive"), "held");
        assert_eq!(holder.ask("unlock"), "released");
    }
}

/// Gives up many waits, and then counts what the process has open.
pub(crate) fn cancel_many(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let touch = Arc::new(TouchFile::new(FlockBackend::new(), path).expect("a touch file"));
    runtime.block_on(wait_once(path));
    let mut orders = commands();
    let before = belongings();
    loop {
        say("ready");
        let Some(order) = orders.next() else { break };
        assert_eq!(order, "wait and cancel");
        runtime.block_on(give_up_while_held(&touch));
        report(&touch, &before);
        let Some(order) = orders.next() else { break };
        assert_eq!(order, "race");
        runtime.block_on(give_up_in_a_race(&touch));
        report(&touch, &before);
    }
}

/// A process makes one inotify instance for its waits, and keeps it.
async fn wait_once(path: &Path) {
    let path = path.with_extension("first");
    let touch = || TouchFile::new(FlockBackend::new(), &path).expect("a touch file");
    let (one, other) = (touch(), touch());
    let held = one.lock_exclusive().await.expect("a lock");
    while !has_inotify() {
        let timeout = Duration::from_millis(5);
        let wait = other.lock_timeout(LockMode::Exclusive, timeout).await;
        assert!(wait.expect_err("it is held").is_timeout());
    }
    drop(held);
}

/// Whether this process has an inotify instance.
pub(crate) fn has_inotify() -> bool {
    let open = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|open| open.ends_with("anon_inode:inotify"))
}

/// While another process holds the lock, half of the waits meet a deadline, and half are aborted.
async fn give_up_while_held(touch: &Arc<TouchFile<FlockBackend>>) {
    let mut waits = JoinSet::new();
    for number in 0..200 {
        let touch = touch.clone();
        let mode = if number % 2 == 0 {
            LockMode::Exclusive
        } else {
            LockMode::Shared
        };
        let timeout = Duration::from_millis(if number % 4 < 2 { number / 10 } else { 60_000 });
        waits.spawn(async move { touch.lock_timeout_owned(mode, timeout).await.map(drop) });
    }
    let mut timed_out = 0;
    while timed_out < 100 {
        let done = waits
            .join_next()
            .await
            .expect("waits are left")
            .expect("no panic");
        assert!(done.is_err_and(|error| error.is_timeout()));
        timed_out += 1;
    }
    waits.shutdown().await;
}

/// The lock is taken and released while waits are given up, so that some are given up when they are granted.
async fn give_up_in_a_race(touch: &Arc<TouchFile<FlockBackend>>) {
    let is_over = Arc::new(AtomicBool::new(false));
    let holder = {
        let (path, is_over) = (touch.path().to_owned(), is_over.clone());
        std::thread::spawn(move || hold_now_and_then(&path, &is_over))
    };
    // With three repetitions and two waits in each round these are more than ten thousand.
    for round in 0..1_700 {
        let timeout = Duration::from_micros(round * 7 % 900);
        let first = touch.lock_timeout(LockMode::Exclusive, timeout);
        let second = tokio::time::timeout(timeout / 2, touch.lock(LockMode::Shared));
        drop(tokio::join!(async { first.await.map(drop) }, async {
            second.await.map(drop)
        }));
    }
    is_over.store(true, Ordering::Relaxed);
    holder.join().expect("no panic");
}

/// A holder that excludes the waits, as another process would.
fn hold_now_and_then(path: &Path, is_over: &AtomicBool) {
    let touch = TouchFile::new(FlockBackend::new(), path).expect("a touch file");
    let mut round = 0;
    while !is_over.load(Ordering::Relaxed) {
        round += 1;
        let guard = touch.blocking().lock_exclusive().expect("a lock");
        let since = Instant::now();
        while since.elapsed() < Duration::from_micros(round * 11 % 600) {
            std::hint::spin_loop();
        }
        drop(guard);
    }
}

fn report(touch: &TouchFile<FlockBackend>, before: &BTreeMap<&'static str, usize>) {
    // The handle of the attempt is kept for the next attempt, and holds no lock.
    let attempt = touch.blocking().try_lock(LockMode::Exclusive);
    drop(attempt.expect("an attempt"));
    let mut allowed = before.clone();
    *allowed.get_mut("descriptors").expect("it is counted") += 1;
    assert_eq!(belongings()["locks"], before["locks"], "at once");
    if has_no_more_than(&allowed) {
        say("nothing left");
    } else {
        say(&format!(
            "before: {before:?}, after, with one idle handle: {:?}",
            belongings()
        ));
    }
}
