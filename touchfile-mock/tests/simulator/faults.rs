//! Failures, refusals, delays and lost locks.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::Attempt::{Acquired, WouldBlock};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{LockBackend, LockHandle, OpenOptions};
use touchfile_mock::{Call, EventKind, Fault, World};

use crate::support::{PATH, block_on, hold, open, open_at, open_in, pending, ready};

const EIO: i32 = 5;
const ENOLCK: i32 = 37;

#[test]
fn a_failed_open_creates_nothing_and_the_next_succeeds() {
    let world = World::new();
    world.fail_next(Call::Open, ErrorKind::PermissionDenied);
    let backend = world.process("a");
    let failed = block_on(backend.open(PATH.as_ref(), &OpenOptions::new()));
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(!world.exists(PATH));
    open(&world, "a");
}

#[test]
fn a_failed_attempt_or_wait_holds_nothing() {
    let world = World::new();
    let mut a = open(&world, "a");
    world.fail_next(Call::TryLock, ENOLCK);
    world.fail_next(Call::Lock, EIO);
    let failed = block_on(a.try_lock(Exclusive)).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(ENOLCK));
    let failed = block_on(a.lock(Exclusive)).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(EIO));
    assert!(world.holders(PATH).is_empty() && world.waiters(PATH).is_empty());
    assert_eq!(world.armed_faults(), 0);
    block_on(a.lock(Exclusive)).unwrap();
}

#[test]
fn a_failed_unlock_keeps_the_lock_until_the_handle_is_dropped() {
    let world = World::new();
    let mut a = hold(&world, "a", Exclusive);
    world.fail_next(Call::Unlock, EIO);
    assert_eq!(block_on(a.unlock()).unwrap_err().raw_os_error(), Some(EIO));
    assert_eq!(world.holders(PATH), [("a", Exclusive)]);
    world.fail_next(Call::Unlock, EIO);
    drop(a);
    assert!(world.holders(PATH).is_empty(), "dropping cannot fail");
}

#[test]
fn an_identity_check_can_fail() {
    let world = World::new();
    let a = hold(&world, "a", Exclusive);
    world.fail_next(Call::IsCurrent, ErrorKind::StaleNetworkFileHandle);
    let failed = block_on(a.is_current(PATH.as_ref())).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::StaleNetworkFileHandle);
    assert!(block_on(a.is_current(PATH.as_ref())).unwrap());
}

#[test]
fn a_fault_strikes_as_often_as_it_says_where_it_says() {
    let world = World::new();
    let narrow = Fault::fail(Call::TryLock, EIO)
        .times(2)
        .in_process("a")
        .on_path(PATH);
    world.inject(narrow);
    let mut b = open(&world, "b");
    assert!(block_on(b.try_lock(Shared)).is_ok(), "another process");
    let mut other = open_at(&world.process("a"), "/b.lock");
    assert!(block_on(other.try_lock(Shared)).is_ok(), "another path");
    assert_eq!(world.armed_faults(), 2);

    let mut a = open(&world, "a");
    assert!(block_on(a.try_lock(Shared)).is_err());
    assert!(block_on(a.try_lock(Shared)).is_err());
    assert!(block_on(a.try_lock(Shared)).is_ok());
}

#[test]
fn faults_strike_in_the_order_they_were_armed_and_can_be_cleared() {
    let world = World::new();
    let mut a = open(&world, "a");
    world.fail_next(Call::TryLock, EIO);
    world.inject(Fault::fail(Call::TryLock, ENOLCK).times(9));
    world.inject(Fault::refuse().times(0));
    let mut errno = || block_on(a.try_lock(Shared)).unwrap_err().raw_os_error();
    assert_eq!([errno(), errno()], [Some(EIO), Some(ENOLCK)]);
    assert_eq!(world.armed_faults(), 8);
    world.clear_faults();
    assert_eq!(block_on(a.try_lock(Shared)).unwrap(), Acquired);
}

#[test]
fn misuse_is_told_before_a_fault_is_spent() {
    let world = World::new();
    let mut a = hold(&world, "a", Exclusive);
    world.fail_next(Call::TryLock, EIO);
    let misuse = block_on(a.try_lock(Shared)).unwrap_err();
    assert_eq!(misuse.kind(), ErrorKind::InvalidInput);
    assert_eq!(world.armed_faults(), 1);
}

#[test]
fn a_free_lock_can_be_refused_several_times() {
    let world = World::new();
    let mut a = open(&world, "a");
    world.refuse_next(2);
    for expected in [WouldBlock, WouldBlock, Acquired] {
        assert_eq!(block_on(a.try_lock(Exclusive)).unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_can_be_delayed_on_the_paused_clock() {
    let world = World::new();
    let minute = Duration::from_secs(60);
    for call in [Call::Open, Call::TryLock, Call::IsCurrent, Call::Unlock] {
        world.delay_next(call, minute);
    }
    let started = Instant::now();
    let backend = world.process("a");
    let options = OpenOptions::new();
    let mut a = backend.open(PATH.as_ref(), &options).await.unwrap();
    assert_eq!(started.elapsed(), minute);
    assert_eq!(a.try_lock(Exclusive).await.unwrap(), Acquired);
    assert_eq!(started.elapsed(), minute * 2);
    assert!(a.is_current(PATH.as_ref()).await.unwrap());
    assert_eq!(started.elapsed(), minute * 3);
    a.unlock().await.unwrap();
    assert_eq!(started.elapsed(), minute * 4);
    world.delay_next(Call::Lock, minute);
    a.lock(Shared).await.unwrap();
    assert_eq!(started.elapsed(), minute * 5);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_that_is_dropped_never_happened() {
    let world = World::new();
    let mut a = open(&world, "a");
    world.delay_next(Call::TryLock, Duration::from_secs(60));
    let short = Duration::from_secs(1);
    let cut_short = tokio::time::timeout(short, a.try_lock(Exclusive)).await;
    assert!(cut_short.is_err());
    assert!(world.holders(PATH).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_meets_a_delay_and_then_a_failure() {
    let world = World::new();
    let mut a = open(&world, "a");
    world.fail_next(Call::TryLock, EIO);
    world.delay_next(Call::TryLock, Duration::from_secs(2));
    let started = Instant::now();
    assert!(a.try_lock(Exclusive).await.is_err());
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_process_killed_during_a_delay_does_not_take_the_lock() {
    let world = World::new();
    let mut a = open(&world, "a");
    world.delay_next(Call::TryLock, Duration::from_secs(2));
    let killer = world.clone();
    let attempt = tokio::spawn(async move { a.try_lock(Exclusive).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    killer.kill("a");
    let killed = attempt.await.unwrap().unwrap_err();
    assert_eq!(killed.to_string(), "process a was killed");
    assert!(world.holders(PATH).is_empty());
}

#[test]
fn a_delay_without_a_runtime_is_an_error_that_says_so() {
    let world = World::new();
    let mut a = open(&world, "a");
    world.delay_next(Call::TryLock, Duration::from_secs(1));
    let error = block_on(a.try_lock(Exclusive)).unwrap_err();
    assert_eq!(error.to_string(), "a delay fault needs a tokio runtime");
}

#[test]
fn a_lost_lock_can_be_taken_by_another_and_its_old_holder_cannot_release_it() {
    let world = World::new();
    let mut a = hold(&world, "a", Exclusive);
    let mut b = open(&world, "b");
    let mut wait = pending(b.lock(Exclusive));
    assert_eq!(world.lose_lock(PATH), 1);
    assert!(wait.is_woken());
    ready(wait.poll()).unwrap();

    let unaware = block_on(a.try_lock(Exclusive)).unwrap_err();
    assert_eq!(
        unaware.kind(),
        ErrorKind::InvalidInput,
        "it believes it holds"
    );
    let lost = block_on(a.unlock()).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::StaleNetworkFileHandle);
    assert_eq!(world.holders(PATH), [("b", Exclusive)]);
    let last = world.history().pop().map(|event| event.what);
    assert_eq!(last, Some(EventKind::UnlockedLost(Exclusive)));
    assert_eq!(block_on(a.try_lock(Exclusive)).unwrap(), WouldBlock);
}

#[test]
fn dropping_the_handle_of_a_lost_lock_releases_and_removes_nothing() {
    let world = World::new();
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    let opening = block_on(world.process("a").open(PATH.as_ref(), &options));
    let mut a = opening.unwrap();
    block_on(a.lock(Exclusive)).unwrap();
    world.lose_lock(PATH);
    let _thief = hold(&world, "b", Exclusive);
    drop(a);
    assert_eq!(world.holders(PATH), [("b", Exclusive)]);
    assert!(world.exists(PATH));
}

#[test]
fn a_loss_wakes_whoever_waits_for_it_and_no_other() {
    let world = World::new();
    let (a, b) = (hold(&world, "a", Shared), hold(&world, "b", Shared));
    let mut of_a = pending(a.lost(Duration::ZERO));
    let mut of_b = pending(b.lost(Duration::ZERO));
    world.lose_locks_of("a");
    ready(of_a.poll()).unwrap();
    assert!(of_b.poll().is_pending());
    world.expire_lock(PATH);
    assert!(of_b.is_woken());
    ready(of_b.poll()).unwrap();
    assert!(a.valid_until().is_none() && b.valid_until().is_some());
    world.kill("b");
    block_on(b.lost(Duration::ZERO)).unwrap_err();
}

#[test]
fn without_loss_the_loser_unlocks_without_an_error() {
    let world = World::new();
    let backend = world.process("a");
    let mut claims = backend.capabilities();
    claims.loss = false;
    let mut a = open_in(&backend.with_capabilities(claims));
    block_on(a.lock(Exclusive)).unwrap();
    world.lose_lock(PATH);
    block_on(a.unlock()).unwrap();
}

#[test]
fn one_process_can_lose_all_its_locks() {
    let world = World::new();
    let _a = [hold(&world, "a", Shared), hold(&world, "a", Shared)];
    let _b = hold(&world, "b", Shared);
    assert_eq!(world.lose_locks_of("a"), 2);
    assert_eq!(world.holders(PATH), [("b", Shared)]);
    assert_eq!(world.lose_locks_of("nobody"), 0);
    assert_eq!(world.lose_lock("/none"), 0);
}
