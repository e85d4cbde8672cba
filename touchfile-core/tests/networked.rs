//! Backends whose calls take a round trip to a server, which stands those who wait in line, and whose drop
//! waits for the server.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{
    Attempt, BoxBackend, Capabilities, Error, LockBackend, LockHandle, LockMode, OpenOptions,
    TouchFile,
};

const TRIP: Duration = Duration::from_millis(40);
const SECOND: Duration = Duration::from_secs(1);
/// Longer than anything here takes, unless it hangs.
const FOR_EVER: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_takes_a_free_lock_and_refuses_a_held_one_after_one_attempt() {
    let server = Server::new(true);
    for touch in [server.touch(), server.touch()] {
        let began = Instant::now();
        let guard = touch.lock_timeout(Exclusive, Duration::ZERO).await.unwrap();
        assert!(began.elapsed() >= 2 * TRIP, "it was opened and locked");
        let other = server.touch();
        let refused = other.lock_timeout(Exclusive, Duration::ZERO).await;
        assert!(refused.unwrap_err().is_timeout());
        guard.unlock().await.unwrap();
        // With a handle that is open already.
        let guard = other.lock_timeout(Exclusive, Duration::ZERO).await.unwrap();
        guard.unlock().await.unwrap();
    }
    let boxed = TouchFile::new(BoxBackend::new(Backend(server.clone())), "a").unwrap();
    drop(boxed.lock_timeout(Exclusive, Duration::ZERO).await.unwrap());
    assert!(!server.calls().contains(&"lock"));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_does_not_wait_for_a_server_that_never_answers() {
    let server = Server::with_trip(true, Duration::from_secs(3_600));
    let touch = server.touch();
    let began = Instant::now();
    let refused = touch.lock_timeout(Exclusive, Duration::ZERO).await;
    assert!(refused.unwrap_err().is_timeout());
    assert!(began.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_will_wait_stands_in_line_at_once_and_is_served_in_order() {
    let server = Server::new(true);
    let touches: Vec<_> = (0..4).map(|_| server.touch()).collect();
    let held = touches[0].lock(Exclusive).await.unwrap();
    let order = Mutex::new(Vec::new());
    let wait = async |place: u32| {
        sleep(SECOND * place).await;
        let touch = &touches[place as usize];
        let guard = touch.lock_timeout(Exclusive, FOR_EVER).await.unwrap();
        order.lock().unwrap().push(place);
        guard.unlock().await.unwrap();
    };
    let release = async {
        sleep(10 * SECOND).await;
        held.unlock().await.unwrap();
    };
    tokio::join!(wait(2), wait(1), wait(3), release);
    assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    let calls = server.calls();
    assert_eq!(calls.iter().filter(|call| **call == "lock").count(), 4);
    assert!(!calls.contains(&"try_lock"), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_line_reports_and_ends_by_its_timeout_with_nothing_left() {
    let server = Server::new(true);
    let holder = server.touch();
    let held = holder.lock(Exclusive).await.unwrap();
    let reports = Arc::new(Mutex::new(0));
    let count = reports.clone();
    let touch = TouchFile::builder(Backend(server.clone()))
        .path("a")
        .on_wait(SECOND, move |_| *count.lock().unwrap() += 1)
        .build()
        .unwrap();
    let waited = touch.lock_timeout(Exclusive, 5 * SECOND + TRIP).await;
    assert!(waited.unwrap_err().is_timeout());
    assert_eq!(*reports.lock().unwrap(), 5);
    held.unlock().await.unwrap();
    drop(
        timeout(SECOND, holder.lock(Exclusive))
            .await
            .unwrap()
            .unwrap(),
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_line_an_attempt_comes_first() {
    let server = Server::new(false);
    let touch = server.touch();
    touch.lock(Exclusive).await.unwrap().unlock().await.unwrap();
    assert_eq!(server.calls(), ["open", "try_lock", "unlock"]);
}

#[tokio::test(flavor = "current_thread")]
async fn dropping_a_guard_does_not_block_the_runtime_and_keeps_the_turn_until_it_is_done() {
    let server = Server::with_trip(true, Duration::ZERO);
    let touch = server.touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    server.stall(true);
    drop(guard); // would hang here
    // The next one of this process is not sent to the server to find its own lock there.
    assert!(touch.try_lock(Exclusive).await.unwrap().is_none());
    let calls = server.calls();
    let late = touch
        .lock_timeout(Exclusive, Duration::from_millis(20))
        .await;
    assert!(
        matches!(late, Err(Error::Timeout { queued: true, .. })),
        "{late:?}"
    );
    assert_eq!(server.calls(), calls);
    server.stall(false);
    drop(
        timeout(FOR_EVER, touch.lock(Exclusive))
            .await
            .unwrap()
            .unwrap(),
    );
}

#[tokio::test(flavor = "current_thread")]
async fn giving_up_an_acquisition_does_not_block_the_runtime_and_keeps_the_turn_until_it_is_done() {
    let server = Server::with_trip(true, Duration::ZERO);
    let holder = server.touch();
    let held = holder.lock(Exclusive).await.unwrap();
    let touch = server.touch();
    server.stall(true);
    let given_up = timeout(Duration::from_millis(20), touch.lock(Exclusive)).await;
    assert!(given_up.is_err());
    assert!(touch.try_lock(Exclusive).await.unwrap().is_none());
    server.stall(false);
    held.unlock().await.unwrap();
    drop(
        timeout(FOR_EVER, touch.lock(Exclusive))
            .await
            .unwrap()
            .unwrap(),
    );
}

#[test]
fn a_thread_without_a_runtime_has_released_when_its_drop_returns() {
    let server = Server::with_trip(true, Duration::ZERO);
    let (one, other) = (server.touch(), server.touch());
    for _ in 0..20 {
        drop(one.blocking().lock_exclusive().unwrap());
        let guard = other.blocking().lock_timeout(Exclusive, Duration::ZERO);
        guard.unwrap().unlock().unwrap();
    }
}

/// One lock, for which those who wait stand in line.
#[derive(Debug)]
struct Server {
    lock: Arc<Semaphore>,
    trip: Duration,
    queues: bool,
    calls: Mutex<Vec<&'static str>>,
    stalled: Mutex<bool>,
    changed: Condvar,
}

impl Server {
    fn new(queues: bool) -> Arc<Self> {
        Self::with_trip(queues, TRIP)
    }

    fn with_trip(queues: bool, trip: Duration) -> Arc<Self> {
        Arc::new(Self {
            lock: Arc::new(Semaphore::new(1)),
            trip,
            queues,
            calls: Mutex::default(),
            stalled: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    fn touch(self: &Arc<Self>) -> TouchFile<Backend> {
        TouchFile::new(Backend(self.clone()), "a").unwrap()
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    /// Keeps those waiting who drop their handles, or lets them go on.
    fn stall(&self, stalled: bool) {
        *self.stalled.lock().unwrap() = stalled;
        self.changed.notify_all();
    }

    async fn call(&self, name: &'static str) {
        self.calls.lock().unwrap().push(name);
        if !self.trip.is_zero() {
            sleep(self.trip).await;
        }
    }
}

#[derive(Debug)]
struct Backend(Arc<Server>);

#[async_trait]
impl LockBackend for Backend {
    type Handle = Handle;

    fn name(&self) -> &'static str {
        "networked"
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = Capabilities::NONE;
        claims.fair = true;
        claims
    }

    async fn open(&self, _: &Path, _: &OpenOptions) -> io::Result<Handle> {
        self.0.call("open").await;
        Ok(Handle {
            server: self.0.clone(),
            held: None,
        })
    }

    fn answers_later(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Handle {
    server: Arc<Server>,
    held: Option<OwnedSemaphorePermit>,
}

#[async_trait]
impl LockHandle for Handle {
    async fn try_lock(&mut self, _: LockMode) -> io::Result<Attempt> {
        self.server.call("try_lock").await;
        self.held = self.server.lock.clone().try_acquire_owned().ok();
        Ok(match self.held {
            Some(_) => Attempt::Acquired,
            None => Attempt::WouldBlock,
        })
    }

    async fn lock(&mut self, _: LockMode) -> io::Result<()> {
        self.server.call("lock").await;
        self.held = self.server.lock.clone().acquire_owned().await.ok();
        Ok(())
    }

    async fn unlock(&mut self) -> io::Result<()> {
        self.server.call("unlock").await;
        self.held = None;
        Ok(())
    }

    async fn is_current(&self, _: &Path) -> io::Result<bool> {
        unreachable!("it has no files, and does not claim `identity`")
    }

    fn queues(&self) -> bool {
        self.server.queues
    }

    fn drop_may_block(&self) -> bool {
        true
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let stalled = self.server.stalled.lock().unwrap();
        let stalled = self.server.changed.wait_while(stalled, |stalled| *stalled);
        drop(stalled);
    }
}
