//! What a backend claims is kept, and what it does not claim is refused.

use std::io::{self, ErrorKind};

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Capabilities, LockBackend, LockHandle, OpenOptions};
use touchfile_mock::{MockBackend, World};

use crate::support::{PATH, block_on, hold, open, open_in};

fn without(world: &World, process: &str, drop: impl Fn(&mut Capabilities)) -> MockBackend {
    let full = world.process(process);
    let mut capabilities = full.capabilities();
    drop(&mut capabilities);
    let less = full.with_capabilities(capabilities);
    assert_eq!(less.capabilities(), capabilities);
    less
}

fn assert_unsupported<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn the_full_mock_claims_what_it_simulates_and_no_more() {
    let claims = MockBackend::new().capabilities();
    assert!(claims.shared && claims.cross_process && claims.crash_release && claims.fork_safe);
    assert!(claims.identity && claims.remove_on_release && claims.exclusive_read_only);
    assert!(claims.atomic_conversion);
    assert!(!claims.real_files && !claims.fair);
    assert!(!claims.excludes_flock && !claims.excludes_fcntl);
    assert_eq!(MockBackend::new().name(), "mock");
}

#[test]
fn without_shared_only_exclusive_locks_are_given() {
    let world = World::new();
    let mut handle = open_in(&without(&world, "a", |c| c.shared = false));
    assert_unsupported(block_on(handle.try_lock(Shared)));
    assert_unsupported(block_on(handle.lock(Shared)));
    block_on(handle.lock(Exclusive)).unwrap();
}

#[test]
fn without_identity_nobody_is_told_what_is_current() {
    let world = World::new();
    let handle = open_in(&without(&world, "a", |c| c.identity = false));
    assert_unsupported(block_on(handle.is_current(PATH.as_ref())));
}

#[test]
fn without_remove_on_release_the_option_is_refused_and_nothing_created() {
    let world = World::new();
    let backend = without(&world, "a", |c| c.remove_on_release = false);
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    assert_unsupported(block_on(backend.open(PATH.as_ref(), &options)));
    assert!(!world.exists(PATH));
}

#[test]
fn without_exclusive_read_only_a_read_only_file_takes_shared_locks_alone() {
    let world = World::new();
    let mut limited = open_in(&without(&world, "a", |c| c.exclusive_read_only = false));
    world.set_read_only(PATH, true).unwrap();
    assert_unsupported(block_on(limited.try_lock(Exclusive)));
    block_on(limited.lock(Shared)).unwrap();
    block_on(limited.unlock()).unwrap();
    let full = hold(&world, "b", Exclusive);
    drop(full);
    world.set_read_only(PATH, false).unwrap();
    block_on(limited.lock(Exclusive)).unwrap();
}

#[test]
fn without_crash_release_a_lock_outlives_its_process_until_somebody_breaks_it() {
    let world = World::new();
    let mut handle = open_in(&without(&world, "a", |c| c.crash_release = false));
    block_on(handle.lock(Exclusive)).unwrap();
    world.kill("a");
    drop(handle);
    let mut b = open(&world, "b");
    assert_eq!(world.holders(PATH), [("a", Exclusive)]);
    assert_eq!(world.lose_lock(PATH), 1);
    block_on(b.lock(Exclusive)).unwrap();
}
