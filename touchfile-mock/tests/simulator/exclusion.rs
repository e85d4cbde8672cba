//! Laws 1 and 2, and what a handle refuses.

use std::io::ErrorKind;

use touchfile_core::Attempt::{Acquired, WouldBlock};
use touchfile_core::LockHandle;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_mock::{MockBackend, World};

use crate::support::{PATH, block_on, hold, open, open_at, open_in, pending};

#[test]
fn handles_exclude_each_other_between_processes_and_within_one() {
    for (held, asked, expected) in [
        (Exclusive, Exclusive, WouldBlock),
        (Exclusive, Shared, WouldBlock),
        (Shared, Exclusive, WouldBlock),
        (Shared, Shared, Acquired),
    ] {
        for other in ["a", "b"] {
            let world = World::new();
            let _holder = hold(&world, "a", held);
            let mut second = open(&world, other);
            let attempt = block_on(second.try_lock(asked)).unwrap();
            assert_eq!(attempt, expected, "{held} by a, then {asked} by {other}");
        }
    }
}

#[test]
fn an_exclusive_lock_waits_for_the_last_of_the_shared_holders() {
    let world = World::new();
    let first = hold(&world, "a", Shared);
    let second = hold(&world, "b", Shared);
    let mut writer = open(&world, "c");
    drop(first);
    assert_eq!(block_on(writer.try_lock(Exclusive)).unwrap(), WouldBlock);
    drop(second);
    assert_eq!(block_on(writer.try_lock(Exclusive)).unwrap(), Acquired);
}

#[test]
fn locks_on_two_files_have_nothing_to_do_with_each_other() {
    let world = World::new();
    let _holder = hold(&world, "a", Exclusive);
    let mut other = open_at(&world.process("b"), "/b.lock");
    assert_eq!(block_on(other.try_lock(Exclusive)).unwrap(), Acquired);
}

#[test]
fn an_attempt_is_busy_only_if_somebody_holds_the_lock_whoever_waits() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    let mut waiter = open(&world, "b");
    let _wait = pending(waiter.lock(Exclusive));
    drop(holder);
    let mut overtaker = open(&world, "c");
    assert_eq!(block_on(overtaker.try_lock(Exclusive)).unwrap(), Acquired);
}

#[test]
fn a_handle_that_holds_refuses_a_second_lock_and_keeps_the_first() {
    let world = World::new();
    let mut handle = hold(&world, "a", Shared);
    let refused = block_on(handle.try_lock(Exclusive)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let refused = block_on(handle.lock(Shared)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(world.holders(PATH), [("a", Shared)]);
}

#[test]
fn unlocking_what_is_not_held_is_fine_and_a_released_handle_locks_again() {
    let world = World::new();
    let mut handle = open(&world, "a");
    block_on(handle.unlock()).unwrap();
    for mode in [Exclusive, Shared, Exclusive] {
        block_on(handle.lock(mode)).unwrap();
        assert_eq!(world.holders(PATH), [("a", mode)]);
        block_on(handle.unlock()).unwrap();
        assert!(world.holders(PATH).is_empty());
    }
}

#[test]
fn dropping_a_handle_releases_and_closes() {
    let world = World::new();
    let handle = hold(&world, "a", Exclusive);
    assert_eq!(world.open_handles("a"), 1);
    drop(handle);
    assert_eq!(world.open_handles("a"), 0);
    assert!(world.holders(PATH).is_empty());
}

#[test]
fn the_same_name_is_the_same_process_and_a_new_backend_a_new_world() {
    let world = World::new();
    let _holder = hold(&world, "a", Exclusive);
    let _again = open(&world, "a");
    assert_eq!(world.open_handles("a"), 2);

    let (one, two) = (MockBackend::new(), MockBackend::new());
    let (mut first, mut second) = (open_in(&one), open_in(&two));
    block_on(first.lock(Exclusive)).unwrap();
    assert_eq!(block_on(second.try_lock(Exclusive)).unwrap(), Acquired);
    let clone = one.clone();
    let mut third = open_in(&clone);
    assert_eq!(block_on(third.try_lock(Exclusive)).unwrap(), WouldBlock);
    assert_eq!(one.world().holders(PATH), [("main", Exclusive)]);
}
