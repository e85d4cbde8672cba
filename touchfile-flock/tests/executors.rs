//! Waiting without tokio, in several runtimes and from threads.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::Exclusive;
use touchfile_core::TouchFile;
use touchfile_flock::FlockBackend;

type Touch = TouchFile<FlockBackend>;

/// Two touch files on one path. The second waits as if it were in another process.
fn pair() -> (Arc<Touch>, Arc<Touch>) {
    let one = Arc::new(TouchFile::temporary(FlockBackend::new()).unwrap());
    let two = Arc::new(TouchFile::new(FlockBackend::new(), one.path()).unwrap());
    (one, two)
}

#[test]
fn threads_wait_where_no_runtime_exists() {
    let (one, two) = pair();
    let guard = one.blocking().lock_exclusive().unwrap();
    let waiter = thread::spawn(move || two.blocking_owned().lock_exclusive().map(drop));
    drop(guard);
    waiter.join().unwrap().unwrap();
}

#[test]
fn threads_and_tasks_queue_together() {
    let (touch, _) = pair();
    let guard = touch.blocking().lock_exclusive().unwrap();
    let waiting = touch.clone();
    let waiter = thread::spawn(move || waiting.blocking().lock_exclusive().map(drop));
    drop(guard);
    waiter.join().unwrap().unwrap();
}

#[test]
fn threads_give_up_at_their_deadline() {
    let (one, two) = pair();
    let _guard = one.blocking().lock_exclusive().unwrap();
    let timeout = Duration::from_millis(20);
    assert!(
        one.blocking()
            .lock_timeout(Exclusive, timeout)
            .unwrap_err()
            .is_timeout()
    );
    assert!(
        two.blocking()
            .lock_timeout(Exclusive, timeout)
            .unwrap_err()
            .is_timeout()
    );
}

#[tokio::test]
async fn blocking_works_in_spawn_blocking() {
    let (one, two) = pair();
    let guard = one.lock_exclusive().await.unwrap();
    let waiter = tokio::task::spawn_blocking(move || two.blocking().lock_exclusive().map(drop));
    guard.unlock().await.unwrap();
    waiter.await.unwrap().unwrap();
}

#[tokio::test]
async fn blocking_in_an_async_task_panics_though_the_lock_is_free() {
    let (touch, _) = pair();
    let task = tokio::spawn(async move { touch.blocking().try_lock(Exclusive).map(|_| ()) });
    assert!(task.await.unwrap_err().is_panic());
}

#[test]
fn waiting_works_under_another_executor() {
    let (one, two) = pair();
    let guard = one.blocking().lock_exclusive().unwrap();
    let (send, receive) = mpsc::channel();
    let waiter = thread::spawn(move || {
        block_on(async {
            let timeout = Duration::from_millis(20);
            assert!(
                two.lock_timeout(Exclusive, timeout)
                    .await
                    .unwrap_err()
                    .is_timeout()
            );
            send.send(()).unwrap();
            two.lock_exclusive().await.map(drop)
        })
    });
    receive.recv().unwrap();
    drop(guard);
    waiter.join().unwrap().unwrap();
}

#[test]
fn a_touch_file_outlives_the_runtimes_it_is_used_in() {
    let (one, two) = pair();
    for _ in 0..100 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let guard = one.lock_exclusive().await.unwrap();
            let timeout = Duration::from_millis(1);
            assert!(
                two.lock_timeout(Exclusive, timeout)
                    .await
                    .unwrap_err()
                    .is_timeout()
            );
            drop(guard);
            drop(two.lock_exclusive().await.unwrap());
        });
    }
}

#[test]
fn a_guard_needs_no_runtime_to_be_dropped() {
    let (touch, other) = pair();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let guard = runtime.block_on(touch.lock_exclusive_owned()).unwrap();
    drop(runtime);
    drop(guard);
    assert!(other.blocking().try_lock(Exclusive).unwrap().is_some());
}

/// A minimal executor, which stands for all executors other than tokio.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker))
        {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => thread::park(),
        }
    }
}
