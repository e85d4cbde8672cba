//! Trying again after failures that may pass.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{LockSet, Retry, TouchFile, TouchFileBuilder};
use touchfile_mock::{Call, Fault, MockBackend, World};

const SECOND: Duration = Duration::from_secs(1);
/// EIO on Unix, and ERROR_ACCESS_DENIED on Windows: neither passes.
const FATAL: i32 = 5;

/// Each pause is between half a second and a second.
fn builder(world: &World, times: u32) -> TouchFileBuilder<MockBackend> {
    let retry = Retry::new(times).backoff(SECOND, SECOND);
    TouchFile::builder(world.process("a"))
        .path("/a")
        .retry(retry)
}

fn touch(world: &World, times: u32) -> TouchFile<MockBackend> {
    builder(world, times).build().unwrap()
}

fn fail(world: &World, call: Call, times: u32) {
    world.inject(Fault::fail(call, std::io::ErrorKind::ResourceBusy).times(times));
}

#[tokio::test(start_paused = true)]
async fn a_shortage_that_passes_is_not_noticed_but_in_time() {
    let world = World::new();
    let touch = touch(&world, 3);
    for call in [Call::Open, Call::TryLock, Call::IsCurrent] {
        fail(&world, call, 3);
        let began = Instant::now();
        touch
            .lock_exclusive()
            .await
            .unwrap()
            .unlock()
            .await
            .unwrap();
        let took = began.elapsed();
        assert!(
            took > 3 * SECOND / 2 && took <= 3 * SECOND + SECOND / 10,
            "{took:?}"
        );
        assert_eq!(world.armed_faults(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shortage_that_lasts_is_the_error_after_as_many_attempts() {
    let world = World::new();
    let touch = touch(&world, 3);
    fail(&world, Call::TryLock, 5);
    let error = touch.lock_exclusive().await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(world.armed_faults(), 1);
    drop(touch.lock_timeout(Exclusive, 60 * SECOND).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_and_for_other_failures_there_is_no_second_attempt() {
    let world = World::new();
    let began = Instant::now();
    let plain = TouchFile::new(world.process("a"), "/a").unwrap();
    fail(&world, Call::TryLock, 1);
    assert!(plain.lock_exclusive().await.unwrap_err().is_transient());
    let touch = touch(&world, 3);
    world.fail_next(Call::TryLock, FATAL);
    assert!(!touch.lock_exclusive().await.unwrap_err().is_transient());
    fail(&world, Call::TryLock, 1);
    assert!(touch.try_lock(Exclusive).await.unwrap_err().is_transient());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn no_pause_goes_beyond_the_deadline() {
    let world = World::new();
    let touch = touch(&world, 100);
    for (timeout, attempts) in [(Duration::ZERO, 1), (3 * SECOND, 3)] {
        fail(&world, Call::TryLock, 100);
        let began = Instant::now();
        let error = touch.lock_timeout(Exclusive, timeout).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(began.elapsed() <= timeout);
        assert!(100 - world.armed_faults() >= attempts);
        world.clear_faults();
    }
    let default = builder(&world, 100).timeout(2 * SECOND).build().unwrap();
    fail(&world, Call::Open, 100);
    let began = Instant::now();
    assert!(default.lock_exclusive().await.unwrap_err().is_transient());
    assert!(began.elapsed() <= 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_fails_meanwhile_goes_on_and_ends_in_time() {
    let world = World::new();
    let touch = touch(&world, 1);
    let other = TouchFile::new(world.process("b"), "/a").unwrap();
    let _held = other.lock_exclusive().await.unwrap();
    fail(&world, Call::Lock, 1);
    let began = Instant::now();
    let error = touch.lock_timeout(Exclusive, 5 * SECOND).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(began.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_set_tries_again_as_its_touch_files_do() {
    let world = World::new();
    let set = LockSet::new().exclusive(touch(&world, 3));
    fail(&world, Call::Open, 2);
    fail(&world, Call::TryLock, 2);
    drop(set.lock_timeout(60 * SECOND).await.unwrap());
    fail(&world, Call::TryLock, 2);
    drop(set.lock().await.unwrap());
}

#[test]
fn threads_try_again_too() {
    let world = World::new();
    let retry = Retry::new(2).backoff(Duration::from_millis(2), Duration::from_millis(5));
    let touch = builder(&world, 0).retry(retry).build().unwrap();
    fail(&world, Call::TryLock, 2);
    touch.blocking().lock_exclusive().unwrap().unlock().unwrap();
    fail(&world, Call::TryLock, 3);
    assert!(
        touch
            .blocking()
            .lock_exclusive()
            .unwrap_err()
            .is_transient()
    );
}
