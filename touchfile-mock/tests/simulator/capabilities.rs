//! What a backend claims is kept, and what it does not claim is refused.

use std::io::{self, ErrorKind};

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, Capabilities, ConvertLock, LockBackend, LockHandle, OpenOptions};
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
    assert!(claims.atomic_conversion && claims.fencing && claims.loss);
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
fn tokens_rise_over_deaths_and_losses_and_stay_with_their_holder() {
    let world = World::new();
    let killed = hold(&world, "a", Exclusive).token().unwrap();
    let dead = hold(&world, "b", Exclusive);
    world.kill("b");
    let mut losing = hold(&world, "c", Exclusive);
    let lost = losing.token().unwrap();
    world.lose_lock(PATH);
    let next = hold(&world, "d", Shared).token().unwrap();
    assert!(killed < lost && lost < next && dead.token() < losing.token());
    assert_eq!(losing.token(), Some(lost));
    block_on(losing.unlock()).unwrap_err();
    assert_eq!(losing.token(), None);
}

#[test]
fn whoever_becomes_exclusive_has_a_new_token_and_keeps_it_when_it_shares() {
    let world = World::new();
    let mut handle = hold(&world, "a", Shared);
    let other = hold(&world, "b", Shared).token();
    assert_eq!(block_on(handle.try_upgrade()).unwrap(), Attempt::Acquired);
    let writer = handle.token();
    assert!(writer > other);
    block_on(handle.downgrade()).unwrap();
    assert_eq!(handle.token(), writer);
}

#[test]
fn without_fencing_there_are_no_tokens() {
    let world = World::new();
    let mut handle = open_in(&without(&world, "a", |c| c.fencing = false));
    block_on(handle.lock(Exclusive)).unwrap();
    assert_eq!(handle.token(), None);
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
