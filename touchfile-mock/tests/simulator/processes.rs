//! Killed, stopped and restarted processes.

use std::io::ErrorKind;
use std::thread;

use touchfile_core::Attempt::{Acquired, WouldBlock};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{LockBackend, LockHandle, OpenOptions};
use touchfile_mock::World;

use crate::support::{PATH, block_on, hold, open, open_in, pending, ready};

#[test]
fn killing_the_holder_releases_its_locks_and_wakes_the_waiter() {
    let world = World::new();
    let _dead = hold(&world, "a", Exclusive);
    let mut b = open(&world, "b");
    let mut wait = pending(b.lock(Exclusive));
    assert!(world.kill("a"));
    assert!(wait.is_woken());
    ready(wait.poll()).unwrap();
    assert_eq!(world.holders(PATH), [("b", Exclusive)]);
    assert_eq!(world.open_handles("a"), 0);
}

#[test]
fn killing_a_waiter_ends_its_wait_and_lets_the_next_move_up() {
    let world = World::new();
    let _reader = hold(&world, "a", Shared);
    let (mut b, mut c) = (open(&world, "b"), open(&world, "c"));
    let mut dead = pending(b.lock(Exclusive));
    let mut behind = pending(c.lock(Shared));
    world.kill("b");
    assert!(dead.is_woken() && behind.is_woken());
    let error = ready(dead.poll()).unwrap_err();
    assert_eq!(error.to_string(), "process b was killed");
    ready(behind.poll()).unwrap();
}

#[test]
fn every_call_of_a_killed_process_fails_and_dropping_its_handles_is_quiet() {
    let world = World::new();
    let backend = world.process("a");
    let mut handle = open_in(&backend);
    block_on(handle.lock(Exclusive)).unwrap();
    world.kill("a");
    let next = hold(&world, "b", Exclusive);

    let reopened = block_on(backend.open(PATH.as_ref(), &OpenOptions::new()));
    for error in [
        reopened.map(drop).unwrap_err(),
        block_on(handle.try_lock(Shared)).map(drop).unwrap_err(),
        block_on(handle.lock(Shared)).unwrap_err(),
        block_on(handle.unlock()).unwrap_err(),
        block_on(handle.is_current(PATH.as_ref()))
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(error.to_string(), "process a was killed");
    }
    drop(handle);
    assert_eq!(world.holders(PATH), [("b", Exclusive)]);
    drop(next);
}

#[test]
fn a_killed_name_can_be_started_anew() {
    let world = World::new();
    let mut dead = open(&world, "a");
    world.kill("a");
    assert!(!world.is_running("a"));
    assert!(!world.kill("a"), "nobody is left to kill");
    let _alive = hold(&world, "a", Exclusive);
    assert!(world.is_running("a"));
    assert_eq!(world.open_handles("a"), 1);
    assert!(block_on(dead.try_lock(Shared)).is_err());
}

#[test]
fn a_stopped_process_keeps_its_lock_and_its_calls_stay_pending() {
    let world = World::new();
    let mut a = hold(&world, "a", Exclusive);
    assert!(world.stop("a"));
    let mut b = open(&world, "b");
    assert_eq!(block_on(b.try_lock(Exclusive)).unwrap(), WouldBlock);

    let mut unlock = pending(a.unlock());
    assert_eq!(world.holders(PATH), [("a", Exclusive)]);
    assert!(world.resume("a"));
    assert!(unlock.is_woken());
    ready(unlock.poll()).unwrap();
    assert_eq!(block_on(b.try_lock(Exclusive)).unwrap(), Acquired);
}

#[test]
fn a_stopped_waiter_is_passed_over_and_keeps_its_place() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let [mut b, mut c, mut d] = ["b", "c", "d"].map(|name| open(&world, name));
    let mut stopped = pending(b.lock(Exclusive));
    let mut second = pending(c.lock(Exclusive));
    let mut third = pending(d.lock(Exclusive));
    world.stop("b");
    drop(holder);
    assert!(second.is_woken());
    assert!(
        stopped.poll().is_pending(),
        "the lock is free, but it is stopped"
    );
    ready(second.poll()).unwrap();

    world.resume("b");
    drop(second);
    drop(c);
    assert!(stopped.is_woken() && !third.is_woken());
    ready(stopped.poll()).unwrap();
    assert!(third.poll().is_pending());
}

#[test]
fn stopping_the_waiter_whose_turn_it_is_wakes_the_next() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let [mut b, mut c] = ["b", "c"].map(|name| open(&world, name));
    let first = pending(b.lock(Exclusive));
    let mut second = pending(c.lock(Exclusive));
    drop(holder);
    assert!(first.is_woken() && !second.is_woken());
    world.stop("b");
    assert!(second.is_woken());
    ready(second.poll()).unwrap();
}

#[test]
fn killing_a_stopped_process_ends_its_pending_calls() {
    let world = World::new();
    let mut a = hold(&world, "a", Exclusive);
    world.stop("a");
    let mut unlock = pending(a.unlock());
    world.kill("a");
    assert!(unlock.is_woken());
    assert!(ready(unlock.poll()).is_err());
    assert!(world.holders(PATH).is_empty());
}

#[test]
fn signals_to_nobody_answer_false() {
    let world = World::new();
    assert!(!world.kill("x") && !world.stop("x") && !world.resume("x"));
    assert!(world.history().is_empty());
}

#[test]
fn the_kill_race_leaves_no_lock_behind() {
    for _ in 0..500 {
        let world = World::new();
        let holder = hold(&world, "a", Exclusive);
        let mut b = open(&world, "b");
        let mut c = open(&world, "c");
        thread::scope(|scope| {
            scope.spawn(|| drop(holder));
            scope.spawn(|| block_on(b.lock(Exclusive)).ok());
            scope.spawn(|| world.kill("b"));
            block_on(c.lock(Exclusive)).unwrap();
        });
        assert_eq!(world.holders(PATH), [("c", Exclusive)]);
    }
}
