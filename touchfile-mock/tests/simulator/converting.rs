//! Conversions of held locks.

use std::io::ErrorKind;

use touchfile_core::Attempt::{Acquired, WouldBlock};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{ConvertLock, LockBackend, LockHandle};
use touchfile_mock::{Call, World};

use crate::support::{PATH, block_on, hold, open, open_in, pending, ready};

#[test]
fn a_downgrade_lets_waiting_readers_in_and_no_writer() {
    let world = World::new();
    let mut holder = hold(&world, "a", Exclusive);
    let (mut reader, mut writer) = (open(&world, "b"), open(&world, "c"));
    let mut reading = pending(reader.lock(Shared));
    let mut writing = pending(writer.lock(Exclusive));
    block_on(holder.downgrade()).unwrap();
    assert!(reading.is_woken() && !writing.is_woken());
    ready(reading.poll()).unwrap();
    assert!(writing.poll().is_pending());
    assert_eq!(world.holders(PATH), [("a", Shared), ("b", Shared)]);
}

#[test]
fn an_upgrade_among_readers_fails_and_keeps_the_shared_lock() {
    let world = World::new();
    let mut one = hold(&world, "a", Shared);
    let other = hold(&world, "b", Shared);
    assert_eq!(block_on(one.try_upgrade()).unwrap(), WouldBlock);
    assert_eq!(world.holders(PATH), [("a", Shared), ("b", Shared)]);
    drop(other);
    assert_eq!(block_on(one.try_upgrade()).unwrap(), Acquired);
    assert_eq!(world.holders(PATH), [("a", Exclusive)]);
    block_on(one.unlock()).unwrap();
    assert_eq!(world.holders(PATH), [] as [(&str, _); 0]);
}

#[test]
fn a_conversion_that_was_made_before_changes_nothing() {
    let world = World::new();
    let mut handle = hold(&world, "a", Exclusive);
    assert_eq!(block_on(handle.try_upgrade()).unwrap(), Acquired);
    assert_eq!(world.holders(PATH), [("a", Exclusive)]);
    block_on(handle.downgrade()).unwrap();
    block_on(handle.downgrade()).unwrap();
    assert_eq!(world.holders(PATH), [("a", Shared)]);
}

#[test]
fn what_is_not_held_not_claimed_or_lost_is_not_converted() {
    let world = World::new();
    let mut handle = open(&world, "a");
    let kind = |done: std::io::Result<_>| done.unwrap_err().kind();
    assert_eq!(kind(block_on(handle.downgrade())), ErrorKind::InvalidInput);
    assert_eq!(
        block_on(handle.try_upgrade()).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );

    let mut claims = world.process("a").capabilities();
    claims.atomic_conversion = false;
    let mut handle = open_in(&world.process("a").with_capabilities(claims));
    block_on(handle.lock(Shared)).unwrap();
    assert_eq!(
        block_on(handle.try_upgrade()).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(world.holders(PATH), [("a", Shared)]);
    drop(handle);

    let mut handle = hold(&world, "a", Shared);
    world.lose_lock(PATH);
    assert_eq!(
        block_on(handle.try_upgrade()).unwrap_err().raw_os_error(),
        Some(5)
    );
    assert_eq!(world.holders(PATH), [] as [(&str, _); 0]);
}

#[test]
fn a_conversion_that_fails_changes_nothing() {
    let world = World::new();
    let mut handle = hold(&world, "a", Exclusive);
    world.fail_next(Call::Downgrade, 5);
    block_on(handle.downgrade()).unwrap_err();
    assert_eq!(world.holders(PATH), [("a", Exclusive)]);
    block_on(handle.downgrade()).unwrap();
    world.fail_next(Call::TryUpgrade, 5);
    block_on(handle.try_upgrade()).unwrap_err();
    assert_eq!(world.holders(PATH), [("a", Shared)]);
}
