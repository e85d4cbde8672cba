//! Files whose names change while they are in use.

use std::io::ErrorKind;
use std::path::Path;

use touchfile_core::Attempt::{Acquired, WouldBlock};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{LockBackend, LockHandle, OpenOptions};
use touchfile_mock::{MockHandle, World};

use crate::support::{PATH, block_on, hold, open, open_at};

fn is_current(handle: &MockHandle, path: &str) -> bool {
    block_on(handle.is_current(Path::new(path))).unwrap()
}

fn open_removing(world: &World, process: &str) -> MockHandle {
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    block_on(world.process(process).open(Path::new(PATH), &options)).unwrap()
}

#[test]
fn a_missing_file_is_created_only_if_asked() {
    let world = World::new();
    let backend = world.process("a");
    let mut options = OpenOptions::new();
    options.create = false;
    let missing = block_on(backend.open(Path::new(PATH), &options)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!world.exists(PATH));

    world.create(PATH);
    block_on(backend.open(Path::new(PATH), &options)).unwrap();
    block_on(backend.open(Path::new("/b.lock"), &OpenOptions::new())).unwrap();
    assert!(world.exists("/b.lock"));
}

#[test]
fn creating_a_file_that_exists_changes_nothing() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    world.create(PATH);
    assert!(is_current(&holder, PATH));
}

#[test]
fn an_unlinked_or_replaced_file_is_no_longer_current_and_excludes_nobody_at_the_path() {
    for disturb in [
        |world: &World| world.unlink(PATH).unwrap(),
        |world: &World| world.replace(PATH),
    ] {
        let world = World::new();
        let mut old = hold(&world, "a", Exclusive);
        assert!(is_current(&old, PATH));
        disturb(&world);
        assert!(!is_current(&old, PATH));
        assert!(world.holders(PATH).is_empty(), "nobody holds the new file");
        let new = hold(&world, "b", Exclusive);
        assert!(is_current(&new, PATH));
        block_on(old.unlock()).unwrap();
        assert_eq!(world.holders(PATH), [("b", Exclusive)]);
    }
}

#[test]
fn handles_on_a_nameless_file_still_exclude_each_other() {
    let world = World::new();
    let _first = hold(&world, "a", Exclusive);
    let mut second = open(&world, "b");
    world.unlink(PATH).unwrap();
    assert_eq!(block_on(second.try_lock(Exclusive)).unwrap(), WouldBlock);
}

#[test]
fn a_renamed_file_takes_its_lock_along() {
    let world = World::new();
    let holder = hold(&world, "a", Shared);
    world.create("/b.lock");
    world.rename(PATH, "/b.lock").unwrap();
    assert!(!world.exists(PATH));
    assert!(is_current(&holder, "/b.lock") && !is_current(&holder, PATH));
    assert_eq!(world.holders("/b.lock"), [("a", Shared)]);
}

#[test]
fn two_names_of_one_file_share_one_lock() {
    let world = World::new();
    let holder = hold(&world, "a", Exclusive);
    world.hard_link(PATH, "/b.lock").unwrap();
    let mut second = open_at(&world.process("b"), "/b.lock");
    assert_eq!(block_on(second.try_lock(Exclusive)).unwrap(), WouldBlock);
    assert!(is_current(&holder, "/b.lock"));

    world.rename(PATH, "/b.lock").unwrap();
    assert!(
        world.exists(PATH),
        "rename(2) of two names of one file does nothing"
    );
    world.unlink(PATH).unwrap();
    assert!(is_current(&holder, "/b.lock"));
}

#[test]
fn file_operations_fail_like_the_system_calls() {
    let world = World::new();
    world.create(PATH);
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(world.unlink("/none")), ErrorKind::NotFound);
    assert_eq!(kind(world.rename("/none", PATH)), ErrorKind::NotFound);
    assert_eq!(kind(world.hard_link("/none", "/b")), ErrorKind::NotFound);
    assert_eq!(kind(world.hard_link(PATH, PATH)), ErrorKind::AlreadyExists);
    assert_eq!(
        kind(world.set_read_only("/none", true)),
        ErrorKind::NotFound
    );
}

#[test]
fn the_last_holder_removes_the_file_by_unlock_or_drop() {
    let world = World::new();
    for mode in [Exclusive, Shared] {
        let mut handle = open_removing(&world, "a");
        block_on(handle.lock(mode)).unwrap();
        block_on(handle.unlock()).unwrap();
        assert!(!world.exists(PATH), "{mode} unlock");

        let mut handle = open_removing(&world, "a");
        block_on(handle.lock(mode)).unwrap();
        drop(handle);
        assert!(!world.exists(PATH), "{mode} drop");
    }
}

#[test]
fn a_file_is_not_removed_while_others_hold_it_or_by_who_never_did() {
    let world = World::new();
    let _reader = hold(&world, "a", Shared);
    let mut leaving = open_removing(&world, "b");
    block_on(leaving.lock(Shared)).unwrap();
    drop(leaving);
    drop(open_removing(&world, "c"));
    assert!(world.exists(PATH));
}

#[test]
fn only_the_own_file_is_removed_never_its_replacement() {
    let world = World::new();
    let mut handle = open_removing(&world, "a");
    block_on(handle.lock(Exclusive)).unwrap();
    world.replace(PATH);
    drop(handle);
    assert!(world.exists(PATH));
}

#[test]
fn a_killed_process_removes_no_file() {
    let world = World::new();
    let mut handle = open_removing(&world, "a");
    block_on(handle.lock(Exclusive)).unwrap();
    world.kill("a");
    drop(handle);
    assert!(world.exists(PATH));
}

#[test]
fn a_waiter_on_a_removed_file_gets_the_lock_and_finds_it_is_not_current() {
    let world = World::new();
    let mut handle = open_removing(&world, "a");
    block_on(handle.lock(Exclusive)).unwrap();
    let mut waiter = open(&world, "b");
    drop(handle);
    assert_eq!(block_on(waiter.try_lock(Exclusive)).unwrap(), Acquired);
    assert!(!is_current(&waiter, PATH));
}
