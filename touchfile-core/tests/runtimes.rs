//! Waits that outlive the runtime they began in, and waits that nobody goes on with.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Error, TouchFile};
#[cfg(unix)]
use touchfile_flock::FlockBackend;
use touchfile_mock::{MockBackend, World};

const PATH: &str = "/some/where/a.lock";

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn touch(world: &World, process: &str) -> Arc<TouchFile<MockBackend>> {
    Arc::new(TouchFile::new(world.process(process), PATH).unwrap())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Lets `future` begin its wait in `runtime`, which is not driven after that.
fn begin<F: Future>(runtime: &Runtime, future: &mut Pin<Box<F>>) {
    runtime.block_on(async {
        for _ in 0..3 {
            poll_fn(|cx| {
                assert!(future.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
    });
}

/// The output of `future` in a runtime of its own.
fn finish<F>(future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(runtime().block_on(future)));
    receive
        .recv_timeout(PATIENCE)
        .expect("the wait ends by its timeout")
}

#[test]
fn a_wait_moved_to_another_runtime_ends_by_its_timeout() {
    let world = World::new();
    let _held = touch(&world, "b")
        .blocking_owned()
        .lock_exclusive()
        .unwrap();
    let timeout = Duration::from_millis(100);
    for keep in [true, false] {
        let mut lock = Box::pin(touch(&world, "a").lock_timeout_owned(Exclusive, timeout));
        let first = runtime();
        begin(&first, &mut lock);
        let first = keep.then_some(first);
        assert!(finish(lock).unwrap_err().is_timeout());
        drop(first);
    }
}

#[cfg(unix)]
#[test]
fn a_wait_for_a_real_file_moved_to_another_runtime_ends_by_its_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = || Arc::new(TouchFile::new(FlockBackend::new(), &path).unwrap());
    let _held = touch().blocking_owned().lock_exclusive().unwrap();
    let timeout = Duration::from_millis(100);
    let first = runtime();
    let mut lock = Box::pin(touch().lock_timeout_owned(Exclusive, timeout));
    begin(&first, &mut lock);
    assert!(finish(lock).unwrap_err().is_timeout());
}

#[test]
fn a_timeout_behind_a_forgotten_future_says_so() {
    let world = World::new();
    let touch = touch(&world, "a");
    let held = touch.clone().blocking_owned().lock_shared().unwrap();
    let mut forgotten = Box::pin(touch.lock_exclusive());
    begin(&runtime(), &mut forgotten);
    drop(held);
    // The forgotten future has the turn now, and nobody polls it.
    let late = touch
        .blocking()
        .lock_timeout(Shared, Duration::from_millis(100));
    let late = late.unwrap_err();
    assert!(
        matches!(late, Error::Timeout { queued: true, .. }),
        "{late:#?}"
    );
    let message = late.to_string();
    assert!(
        message.contains("a waiting future that is not polled"),
        "{message}"
    );
    drop(forgotten);
    assert!(touch.blocking().try_lock(Exclusive).unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_never_passes_is_no_reason_to_panic() {
    let touch = touch(&World::new(), "a");
    let guard = touch.lock_exclusive().await.unwrap();
    for interval in [Duration::MAX, Duration::from_secs(u64::MAX)] {
        let lost = guard.lost(interval);
        assert!(tokio::time::timeout(PATIENCE, lost).await.is_err());
    }
}
