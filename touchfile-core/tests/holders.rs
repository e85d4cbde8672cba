//! Who has the lock: asked of a touch file, and told during a wait.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Error, TouchFile};
use touchfile_mock::World;

const PATH: &str = "/some/where/a.lock";

#[tokio::test]
async fn a_touch_file_tells_who_holds_its_lock() {
    let world = World::new();
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    assert!(touch.holders().await.unwrap().is_empty());
    let other = TouchFile::new(world.process("b"), PATH).unwrap();
    let held = other.lock_shared().await.unwrap();
    let holders = touch.holders().await.unwrap();
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].mode, Shared);
    assert_eq!(holders[0].to_string(), "process b");
    held.unlock().await.unwrap();
}

#[test]
fn a_thread_can_ask_as_well() {
    let world = World::new();
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    let _held = touch.blocking().lock_exclusive().unwrap();
    assert_eq!(touch.blocking().holders().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_event_displays_as_a_sentence_with_the_holder() {
    let world = World::new();
    let other = TouchFile::new(world.process("b"), PATH).unwrap();
    let _held = other.lock_exclusive().await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let touch = TouchFile::builder(world.process("a")).path(PATH).on_wait(
        Duration::from_secs(1),
        move |wait| {
            tell.lock().unwrap().push(wait.to_string());
        },
    );
    let touch = touch.build().unwrap();
    let patience = Duration::from_millis(1500);
    assert!(touch.lock_timeout(Exclusive, patience).await.is_err());
    let told = told.lock().unwrap();
    let sentence = format!("waiting for the exclusive lock on {PATH}, held by process b");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with(&sentence), "{told:?}");
}

#[tokio::test]
async fn a_guard_knows_its_touch_file_and_refuses_a_file_that_it_does_not_have() {
    let touch = TouchFile::new(World::new().process("a"), PATH).unwrap();
    let guard = touch.lock_exclusive().await.unwrap();
    assert_eq!(guard.touch_file().path(), guard.path());
    let error = guard.file().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}
