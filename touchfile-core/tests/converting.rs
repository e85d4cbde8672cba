//! Guards that change their mode: the lock is never let go of, and the queue inside the process
//! follows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{BoxBackend, Error, LockBackend, TouchFile};
use touchfile_mock::{Call, MockBackend, World};

const PATH: &str = "/some/where/a.lock";

/// Longer than anything here takes, unless it hangs. The clock is paused: it costs nothing.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn touch(world: &World, process: &str) -> Arc<TouchFile<MockBackend>> {
    Arc::new(TouchFile::new(world.process(process), PATH).unwrap())
}

/// How many readers of this process can have the lock right now, besides those who have it.
async fn places(touch: &TouchFile<MockBackend>) -> usize {
    let mut readers = Vec::new();
    while readers.len() < 3 {
        match touch.try_lock(Shared).await.unwrap() {
            Some(reader) => readers.push(reader),
            None => break,
        }
    }
    readers.len()
}

#[tokio::test(start_paused = true)]
async fn a_downgraded_guard_lets_in_the_readers_that_wait_here_and_elsewhere() {
    let world = World::new();
    let (here, elsewhere) = (touch(&world, "a"), touch(&world, "b"));
    let mut guard = here.lock_exclusive().await.unwrap();
    let readers = [here.clone(), here.clone(), elsewhere.clone()]
        .map(|touch| tokio::spawn(touch.lock_shared_owned()));
    tokio::task::yield_now().await;
    guard.downgrade().await.unwrap();
    assert_eq!(guard.mode(), Shared);
    for reader in readers {
        let reader = tokio::time::timeout(FOR_EVER, reader).await.unwrap();
        assert_eq!(reader.unwrap().unwrap().mode(), Shared);
    }
    assert!(here.try_lock(Exclusive).await.unwrap().is_none());
    assert!(elsewhere.try_lock(Exclusive).await.unwrap().is_none());
    guard.unlock().await.unwrap();
    assert!(elsewhere.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn no_writer_gets_in_between_a_downgrade_and_an_upgrade() {
    let world = World::new();
    let (here, elsewhere) = (touch(&world, "a"), touch(&world, "b"));
    let mut guard = here.lock_exclusive().await.unwrap();
    for _ in 0..3 {
        guard.downgrade().await.unwrap();
        assert!(elsewhere.try_lock(Exclusive).await.unwrap().is_none());
        assert_eq!(places(&here).await, 3);
        assert!(guard.try_upgrade().await.unwrap());
        assert_eq!(guard.mode(), Exclusive);
        assert!(elsewhere.try_lock(Shared).await.unwrap().is_none());
        assert_eq!(places(&here).await, 0);
    }
    guard.unlock().await.unwrap();
    assert!(here.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn an_upgrade_fails_while_another_task_or_process_reads_and_the_lock_stays_shared() {
    for other in ["a", "b"] {
        let world = World::new();
        let here = touch(&world, "a");
        let there = if other == "a" {
            here.clone()
        } else {
            touch(&world, "b")
        };
        let mut guard = here.lock_shared().await.unwrap();
        let reader = there.lock_shared().await.unwrap();
        assert!(!guard.try_upgrade().await.unwrap(), "beside {other}");
        assert_eq!(guard.mode(), Shared);
        assert_eq!(world.holders(PATH), [("a", Shared), (other, Shared)]);
        assert_eq!(places(&here).await, 3);
        drop(reader);
        assert!(guard.try_upgrade().await.unwrap());
    }
}

#[tokio::test]
async fn two_guards_that_both_want_to_upgrade_do_not_wait_for_each_other() {
    let touch = touch(&World::new(), "a");
    let mut one = touch.lock_shared().await.unwrap();
    let mut other = touch.lock_shared().await.unwrap();
    assert!(!one.try_upgrade().await.unwrap());
    assert!(!other.try_upgrade().await.unwrap());
    drop(other);
    assert!(one.try_upgrade().await.unwrap());
}

#[tokio::test]
async fn an_upgrade_overtakes_nobody_who_waits() {
    for mode in [Exclusive, Shared] {
        let touch = touch(&World::new(), "a");
        let mut guard = touch.lock_shared().await.unwrap();
        let writer = tokio::spawn(touch.clone().lock_exclusive_owned());
        tokio::task::yield_now().await;
        let behind = tokio::spawn(touch.clone().lock_owned(mode));
        tokio::task::yield_now().await;
        assert!(!guard.try_upgrade().await.unwrap());
        drop(guard);
        drop(writer.await.unwrap().unwrap());
        drop(behind.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn what_the_backend_fails_at_changes_neither_the_mode_nor_the_queue() {
    let world = World::new();
    let touch = touch(&world, "a");
    let mut guard = touch.lock_exclusive().await.unwrap();
    world.fail_next(Call::Downgrade, std::io::ErrorKind::Other);
    let error = guard.downgrade().await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(
        error.to_string().contains("downgrade the lock on"),
        "{error}"
    );
    assert_eq!(guard.mode(), Exclusive);
    assert_eq!(places(&touch).await, 0);

    guard.downgrade().await.unwrap();
    world.fail_next(Call::TryUpgrade, 5);
    let error = guard.try_upgrade().await.unwrap_err();
    assert!(error.to_string().contains("upgrade the lock on"), "{error}");
    assert_eq!(guard.mode(), Shared);
    assert_eq!(places(&touch).await, 3);
    drop(guard);
    assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn a_cancelled_conversion_leaves_a_shared_guard_and_no_place_behind() {
    for upgrade in [false, true] {
        let world = World::new();
        let touch = touch(&world, "a");
        let mut guard = touch.lock_shared().await.unwrap();
        if !upgrade {
            assert!(guard.try_upgrade().await.unwrap());
        }
        world.stop("a"); // every call stays pending
        {
            let conversion = async {
                match upgrade {
                    true => guard.try_upgrade().await.map(drop),
                    false => guard.downgrade().await,
                }
            };
            tokio::select! {
                biased;
                _ = conversion => panic!("the process is stopped"),
                () = tokio::task::yield_now() => {}
            }
        }
        world.resume("a");
        assert_eq!(guard.mode(), Shared);
        assert_eq!(world.holders(PATH).len(), 1);
        // What was given up can be asked for again.
        guard.downgrade().await.unwrap();
        assert_eq!(world.holders(PATH), [("a", Shared)]);
        assert_eq!(places(&touch).await, 3);
        assert!(guard.try_upgrade().await.unwrap());
        guard.unlock().await.unwrap();
        assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_backend_chosen_at_run_time_converts_if_the_one_inside_can() {
    let touch = TouchFile::new(BoxBackend::new(World::new().process("a")), PATH).unwrap();
    let mut guard = touch.lock_exclusive().await.unwrap();
    guard.downgrade().await.unwrap();
    assert!(guard.try_upgrade().await.unwrap());
    drop(guard);
}

#[tokio::test]
async fn a_claim_without_a_handle_that_keeps_it_is_refused() {
    let mut claims = World::new().process("a").capabilities();
    claims.atomic_conversion = false;
    let backend = World::new().process("a").with_capabilities(claims);
    let touch = TouchFile::new(Arc::new(backend), PATH).unwrap();
    let mut guard = touch.lock_shared().await.unwrap();
    let error = guard.try_upgrade().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert_eq!(guard.mode(), Shared);
}

#[test]
fn threads_without_a_runtime_convert_too() {
    let world = World::new();
    let touch = touch(&world, "a");
    let mut guard = touch.blocking().lock_exclusive().unwrap();
    guard.downgrade().unwrap();
    assert_eq!(world.holders(PATH), [("a", Shared)]);
    assert!(guard.try_upgrade().unwrap());
    assert_eq!(world.holders(PATH), [("a", Exclusive)]);
}
