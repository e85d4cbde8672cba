//! The behaviour of the Go package from which touchfile grew, and one law that it did not keep.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::tempdir;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Error, LockBackend, TouchFile};
use touchfile_flock::FlockBackend;

type Touch = TouchFile<FlockBackend>;

/// How long a waiter is given to begin its wait. No result depends on it.
const A_WHILE: Duration = Duration::from_millis(30);

/// Two touch files on one path, which exclude each other like those of two processes.
fn two() -> (Touch, Touch) {
    let one = Touch::temporary(FlockBackend::new()).unwrap();
    let other = Touch::new(FlockBackend::new(), one.path()).unwrap();
    (one, other)
}

#[test]
fn without_a_path_there_is_a_temporary_file_that_exists() {
    let touch = Touch::temporary(FlockBackend::new()).unwrap();
    assert!(touch.path().is_absolute());
    assert!(touch.path().is_file());
    let path = touch.path().to_owned();
    drop(touch);
    assert!(!path.exists());
    let built = Touch::builder(FlockBackend::new()).build().unwrap();
    assert!(built.path().is_file());
}

#[test]
fn an_empty_path_is_no_path() {
    // In Go an empty string asks for a temporary file. Here that has a method of its own, and an empty
    // path is an error, because it is most often a forgotten setting.
    let error = Touch::new(FlockBackend::new(), "").unwrap_err();
    assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
}

#[test]
fn a_given_path_is_kept_and_absolute() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = Touch::new(FlockBackend::new(), &path).unwrap();
    assert_eq!(touch.path(), path);
    assert_eq!(touch.backend().name(), "flock");
    let relative = Touch::new(FlockBackend::new(), "a.lock").unwrap();
    assert_eq!(relative.path(), env::current_dir().unwrap().join("a.lock"));
}

#[test]
fn a_missing_parent_directory_is_refused_at_construction() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("missing").join("a.lock");
    let error = Touch::new(FlockBackend::new(), &path).unwrap_err();
    assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
    assert_eq!(error.path(), path);
}

#[tokio::test]
async fn shared_and_shared_are_held_at_once() {
    let (one, other) = two();
    let first = one.lock(Shared).await.unwrap();
    let second = one.lock(Shared).await.unwrap();
    let third = other.lock(Shared).await.unwrap();
    assert!(other.try_lock(Exclusive).await.unwrap().is_none());
    drop((first, second, third));
    assert!(other.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn exclusive_waits_for_exclusive_and_for_shared() {
    for mode in [Exclusive, Shared] {
        let (one, other) = two();
        let held = one.lock(mode).await.unwrap();
        let mut waiting = std::pin::pin!(other.lock(Exclusive));
        assert!(tokio::time::timeout(A_WHILE, &mut waiting).await.is_err());
        held.unlock().await.unwrap();
        let guard = waiting.await.unwrap();
        assert_eq!(guard.mode(), Exclusive);
    }
}

#[tokio::test]
async fn a_deadline_gives_a_timeout_error_and_not_before_it() {
    let (one, other) = two();
    let held = one.lock(Exclusive).await.unwrap();
    let started = Instant::now();
    let error = other.lock_timeout(Shared, A_WHILE).await.unwrap_err();
    assert!(started.elapsed() >= A_WHILE);
    assert!(error.is_timeout());
    assert_eq!(error.path(), other.path());
    drop(held);
    assert!(other.lock_timeout(Shared, A_WHILE).await.is_ok());
}

#[tokio::test]
async fn with_lock_runs_the_closure_under_the_lock_and_releases() {
    let (one, other) = two();
    let excluded = one
        .with_lock(Exclusive, async |_| {
            other.try_lock(Shared).await.unwrap().is_none()
        })
        .await;
    assert!(excluded.unwrap());
    assert!(other.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn with_lock_releases_when_the_closure_errs() {
    let (one, other) = two();
    let outcome = one
        .with_lock(Exclusive, async |_| Err::<(), _>("it failed"))
        .await;
    assert_eq!(outcome.unwrap(), Err("it failed"));
    assert!(other.try_lock(Exclusive).await.unwrap().is_some());
}

#[test]
fn with_lock_releases_when_the_closure_panics() {
    let (one, other) = two();
    let panics = || {
        one.blocking()
            .with_lock(Exclusive, |_| panic!("as planned"))
    };
    let caught = std::panic::catch_unwind(AssertUnwindSafe(panics));
    assert!(caught.is_err());
    assert!(other.blocking().try_lock(Exclusive).unwrap().is_some());
}

#[tokio::test]
async fn with_lock_releases_when_an_async_closure_panics() {
    let (one, other) = two();
    let task = tokio::spawn(async move {
        one.with_lock(Exclusive, async |_| panic!("as planned"))
            .await
            .unwrap();
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(other.try_lock(Exclusive).await.unwrap().is_some());
}

/// The Go package fails this test: both goroutines hold the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_on_one_touch_file_exclude_each_other() {
    let touch = Arc::new(Touch::temporary(FlockBackend::new()).unwrap());
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (touch, inside) = (touch.clone(), inside.clone());
            tokio::spawn(async move {
                for _ in 0..200 {
                    let guard = touch.lock(Exclusive).await.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                    drop(guard);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
