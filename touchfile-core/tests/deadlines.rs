//! Deadlines that are given otherwise than as a timeout of the call.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::TouchFile;
use touchfile_mock::{MockBackend, World};

const PATH: &str = "/some/where/a.lock";
const SECOND: Duration = Duration::from_secs(1);

fn touch(world: &World, process: &str) -> Arc<TouchFile<MockBackend>> {
    Arc::new(TouchFile::new(world.process(process), PATH).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_wait_until_an_instant_ends_then_and_not_before() {
    let world = World::new();
    let _held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    let touch = touch(&world, "a");
    let deadline = Instant::now() + 5 * SECOND;
    let late = touch.lock_until(Shared, deadline).await.unwrap_err();
    assert!(late.is_timeout());
    assert_eq!(Instant::now(), deadline);
    let owned = touch.clone().lock_until_owned(Shared, deadline + SECOND);
    assert!(owned.await.unwrap_err().is_timeout());
    assert_eq!(Instant::now(), deadline + SECOND);
}

#[test]
fn an_instant_that_has_passed_takes_a_lock_that_is_free() {
    let world = World::new();
    let (one, other) = (touch(&world, "a"), touch(&world, "b"));
    let past = std::time::Instant::now();
    let held = one.blocking().lock_until(Exclusive, past).unwrap();
    let busy = other.blocking().lock_until(Exclusive, past).unwrap_err();
    assert!(busy.is_timeout());
    held.unlock().unwrap();
    assert!(other.blocking().lock_until(Exclusive, past).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_default_timeout_bounds_each_wait_that_has_none_of_its_own() {
    let world = World::new();
    let held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    let touch = TouchFile::builder(world.process("a"))
        .path(PATH)
        .timeout(5 * SECOND);
    let touch = Arc::new(touch.build().unwrap());
    let waited = |began: Instant| began.elapsed().as_secs();

    let began = Instant::now();
    assert!(touch.lock(Shared).await.unwrap_err().is_timeout());
    assert_eq!(waited(began), 5);
    let owned = touch.clone().lock_exclusive_owned();
    assert!(owned.await.unwrap_err().is_timeout());
    assert_eq!(waited(began), 10);
    let with = touch.with_lock(Exclusive, async |_| ());
    assert!(with.await.unwrap_err().is_timeout());
    assert_eq!(waited(began), 15);

    let longer = touch.lock_timeout(Exclusive, 7 * SECOND);
    assert!(longer.await.unwrap_err().is_timeout());
    assert_eq!(waited(began), 22);
    assert!(touch.try_lock(Exclusive).await.unwrap().is_none());
    drop(held);
    touch
        .lock_exclusive()
        .await
        .unwrap()
        .unlock()
        .await
        .unwrap();
}
