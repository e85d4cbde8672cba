//! The queue: its order, its wake-ups, and how a waiter leaves it.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use touchfile_core::Attempt::Acquired;
use touchfile_core::LockHandle;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_mock::World;

use crate::support::{PATH, block_on, hold, open, pending, ready};

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let (mut b, mut c) = (open(&world, "b"), open(&world, "c"));
    let mut first = pending(b.lock(Exclusive));
    let mut second = pending(c.lock(Exclusive));
    assert_eq!(world.waiters(PATH), [("b", Exclusive), ("c", Exclusive)]);

    drop(holder);
    assert!(first.is_woken() && !second.is_woken());
    assert!(second.poll().is_pending(), "it is not its turn");
    ready(first.poll()).unwrap();
    drop(first);
    assert_eq!(world.holders(PATH), [("b", Exclusive)]);

    block_on(b.unlock()).unwrap();
    assert!(second.is_woken());
    ready(second.poll()).unwrap();
    assert!(world.waiters(PATH).is_empty());
}

#[test]
fn shared_waiters_that_stand_together_get_the_lock_together() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let [mut b, mut c, mut d, mut e] = ["b", "c", "d", "e"].map(|name| open(&world, name));
    let mut first = pending(b.lock(Shared));
    let mut second = pending(c.lock(Shared));
    let mut writer = pending(d.lock(Exclusive));
    let mut behind = pending(e.lock(Shared));

    drop(holder);
    assert!(first.is_woken() && second.is_woken());
    assert!(!writer.is_woken() && !behind.is_woken());
    ready(second.poll()).unwrap();
    ready(first.poll()).unwrap();
    assert!(writer.poll().is_pending());
    assert!(behind.poll().is_pending(), "the writer came before it");

    drop((first, second));
    drop((b, c));
    assert!(writer.is_woken() && !behind.is_woken());
    ready(writer.poll()).unwrap();
}

#[test]
fn a_cancelled_waiter_leaves_nothing_behind_and_lets_the_next_move_up() {
    let world = World::new();
    let holder = hold(&world, "a", Shared);
    let [mut b, mut c] = ["b", "c"].map(|name| open(&world, name));
    let writer = pending(b.lock(Exclusive));
    let mut reader = pending(c.lock(Shared));

    drop(writer);
    assert!(reader.is_woken(), "only the writer was in its way");
    ready(reader.poll()).unwrap();
    drop((holder, reader));
    drop(c);
    assert!(world.holders(PATH).is_empty() && world.waiters(PATH).is_empty());
    assert_eq!(block_on(b.try_lock(Exclusive)).unwrap(), Acquired);
}

#[test]
fn a_waiter_that_was_woken_and_cancelled_passes_the_wake_up_on() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let [mut b, mut c] = ["b", "c"].map(|name| open(&world, name));
    let first = pending(b.lock(Exclusive));
    let mut second = pending(c.lock(Exclusive));
    drop(holder);
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    ready(second.poll()).unwrap();
}

#[test]
fn a_lock_future_that_is_never_polled_does_not_queue() {
    let world = World::new();
    let _holder = hold(&world, "a", Exclusive);
    let mut b = open(&world, "b");
    drop(b.lock(Exclusive));
    assert!(world.waiters(PATH).is_empty());
}

#[test]
fn a_leaked_wait_ends_when_its_handle_is_used_or_dropped() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let [mut b, mut c, mut d] = ["b", "c", "d"].map(|name| open(&world, name));
    mem::forget(pending(b.lock(Exclusive)));
    mem::forget(pending(c.lock(Exclusive)));
    let mut behind = pending(d.lock(Exclusive));
    drop(holder);
    block_on(b.unlock()).unwrap();
    assert!(!behind.is_woken());
    drop(c);
    assert!(behind.is_woken());
    ready(behind.poll()).unwrap();
}

#[test]
fn the_cancel_race_leaves_no_lock_behind() {
    for round in 0..500 {
        let world = World::new();
        let holder = hold(&world, "a", Exclusive);
        let mut b = open(&world, "b");
        let wait = pending(b.lock(Exclusive));
        thread::scope(|scope| {
            scope.spawn(move || drop(holder));
            // This ends the wait before, while or after the lock becomes free.
            let mut wait = wait;
            if round % 2 == 0 && wait.poll().is_ready() {
                return;
            }
            drop(wait);
        });
        block_on(b.unlock()).unwrap();
        assert!(world.holders(PATH).is_empty() && world.waiters(PATH).is_empty());
    }
}

#[test]
fn threads_without_a_runtime_lose_no_update_and_no_wake_up() {
    const ROUNDS: u32 = 300;
    let world = World::new();
    let counter = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| {
            let (world, counter) = (world.clone(), Arc::clone(&counter));
            thread::spawn(move || {
                let mut handle = open(&world, name);
                for _ in 0..ROUNDS {
                    block_on(handle.lock(Exclusive)).unwrap();
                    let read = counter.load(Ordering::Relaxed);
                    thread::yield_now();
                    counter.store(read + 1, Ordering::Relaxed);
                    block_on(handle.unlock()).unwrap();
                }
            })
        })
        .into();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counter.load(Ordering::Relaxed), 4 * ROUNDS);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_its_deadline_does() {
    let world = World::new();
    let _holder = hold(&world, "a", Exclusive);
    let mut b = open(&world, "b");
    let started = tokio::time::Instant::now();
    let waited = tokio::time::timeout(Duration::from_secs(3600), b.lock(Exclusive)).await;
    assert!(waited.is_err());
    assert_eq!(started.elapsed(), Duration::from_secs(3600));
    assert!(world.waiters(PATH).is_empty());
}

#[tokio::test(start_paused = true)]
async fn tasks_take_turns_in_order() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let names: Vec<String> = (0..20).map(|n| format!("p{n:02}")).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for name in &names {
        let mut handle = open(&world, name);
        tasks.spawn(async move {
            handle.lock(Exclusive).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            handle.unlock().await.unwrap();
        });
    }
    tokio::task::yield_now().await;
    assert_eq!(world.waiters(PATH).len(), names.len());
    world.clear_history();
    drop(holder);
    tasks.join_all().await;
    let took: Vec<String> = world
        .history()
        .into_iter()
        .filter(|e| e.what == touchfile_mock::EventKind::Acquired(Exclusive))
        .filter_map(|e| e.process)
        .collect();
    assert_eq!(took, names);
}
