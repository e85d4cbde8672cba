//! Locks that are lost while they are held, over the mock with a paused clock.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{BoxBackend, Error, LockBackend, Loss, TouchFile};
use touchfile_mock::{Call, Fault, MockBackend, World};

const PATH: &str = "/a.lock";
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_held_verifies_in_either_mode_and_is_held_on() {
    let (world, touch) = touch();
    for mode in [Exclusive, Shared] {
        let guard = touch.lock(mode).await.unwrap();
        guard.verify().await.unwrap();
        guard.verify().await.unwrap();
        assert_eq!(world.holders(PATH), [("a", mode)]);
        guard.unlock().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_taken_away_is_lost_whoever_has_it_now() {
    let (world, touch) = touch();
    let guard = touch.lock(Shared).await.unwrap();
    world.lose_lock(PATH);
    assert_lost(guard.verify().await, Loss::Revoked);
    let thief = TouchFile::new(world.process("b"), PATH).unwrap();
    let stolen = thief.lock(Exclusive).await.unwrap();
    assert_lost(guard.verify().await, Loss::Revoked);
    stolen.verify().await.unwrap();
    stolen.unlock().await.unwrap();
    assert_lost(guard.verify().await, Loss::Revoked);
    // The next acquisition is a new one.
    guard.unlock().await.unwrap();
    touch.lock(Shared).await.unwrap().verify().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_file_was_removed_or_replaced_is_lost() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.replace(PATH);
    assert_lost(guard.verify().await, Loss::Replaced);
    drop(guard);
    let guard = touch.lock(Exclusive).await.unwrap();
    world.unlink(PATH).unwrap();
    assert_lost(guard.verify().await, Loss::Replaced);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_replaced_is_noticed_though_acquisitions_do_not_look() {
    let world = World::new();
    let builder = TouchFile::builder(world.process("a")).path(PATH);
    let touch = builder.verify(false).build().unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.replace(PATH);
    assert_lost(guard.verify().await, Loss::Replaced);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_answers_is_not_known_after_a_while() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    for call in [Call::IsLost, Call::IsCurrent] {
        world.delay_next(call, MINUTE);
        let started = Instant::now();
        let error = guard.verify().await.unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error:?}");
        assert_eq!(error.path(), touch.path());
        assert!(started.elapsed() < MINUTE);
        guard.verify().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_is_no_loss() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.fail_next(Call::IsLost, std::io::ErrorKind::PermissionDenied);
    let error = guard.verify().await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "no permission to verify the lock on /a.lock"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_can_tell_nothing_refuses() {
    let backend = World::new().process("a");
    let mut capabilities = backend.capabilities();
    capabilities.identity = false;
    let touch = TouchFile::new(backend.with_capabilities(capabilities), PATH).unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    let error = guard.verify().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    // Which waiting would not mend.
    assert!(matches!(
        guard.lost(SECOND).await,
        Error::Unsupported { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_at_the_next_check_and_not_before() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    let started = Instant::now();
    let losing = async {
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        world.lose_lock(PATH);
    };
    let (lost, ()) = tokio::join!(guard.lost(SECOND), losing);
    assert!(matches!(lost, Error::Lost { .. }), "{lost:?}");
    assert_eq!(started.elapsed(), 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_loss_and_a_loss_in_it_is_told_after_it() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.inject(Fault::delay(Call::IsLost, MINUTE).times(3));
    let started = Instant::now();
    world.lose_lock(PATH);
    assert!(matches!(guard.lost(SECOND).await, Error::Lost { .. }));
    assert_eq!(world.armed_faults(), 0, "it asked once only");
    assert!(started.elapsed() >= 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn work_is_stopped_by_the_loss_and_else_not_at_all() {
    let (world, touch) = touch();
    for loses in [false, true] {
        let guard = touch.lock(Exclusive).await.unwrap();
        let work = async {
            tokio::time::sleep(MINUTE).await;
            if loses {
                world.lose_lock(PATH);
            }
            tokio::time::sleep(MINUTE).await;
        };
        let stopped = tokio::select! {
            () = work => false,
            _ = guard.lost(SECOND) => true,
        };
        assert_eq!(stopped, loses);
    }
}

#[tokio::test(start_paused = true)]
async fn a_zero_interval_leaves_time_for_others() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    let losing = async {
        tokio::time::sleep(SECOND).await;
        world.lose_lock(PATH);
    };
    let (lost, ()) = tokio::join!(guard.lost(Duration::ZERO), losing);
    assert!(matches!(lost, Error::Lost { .. }), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_known_behind_a_boxed_backend_and_to_an_owned_guard() {
    let world = World::new();
    let touch = TouchFile::new(BoxBackend::new(world.process("a")), PATH).unwrap();
    let guard = std::sync::Arc::new(touch)
        .lock_exclusive_owned()
        .await
        .unwrap();
    world.lose_locks_of("a");
    assert_lost(guard.verify().await, Loss::Revoked);
}

#[test]
fn threads_without_a_runtime_can_ask_as_well() {
    let (world, touch) = touch();
    let guard = touch.blocking().lock_exclusive().unwrap();
    guard.verify().unwrap();
    world.lose_lock(PATH);
    assert_lost(guard.verify(), Loss::Revoked);
}

fn touch() -> (World, TouchFile<MockBackend>) {
    let world = World::new();
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    (world, touch)
}

#[track_caller]
fn assert_lost(verified: Result<(), Error>, how: Loss) {
    let error = verified.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    let Error::Lost { loss, .. } = &error else {
        unreachable!("{error:?}");
    };
    assert_eq!(*loss, how);
    assert!(error.to_string().contains(PATH), "{error}");
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::StaleNetworkFileHandle);
}
