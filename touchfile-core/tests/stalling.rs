//! Backends whose calls may block, as those on a network file system that does not answer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{
    Attempt, Capabilities, ConvertLock, LockBackend, LockHandle, LockMode, OpenOptions, TouchFile,
};

/// Longer than anything here takes, unless it hangs.
const FOR_EVER: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "current_thread")]
async fn the_runtime_keeps_turning_while_a_call_is_stalled() {
    for call in ["open", "try_lock", "is_current", "unlock"] {
        let server = Arc::new(Server::default());
        let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
        server.stall(call);
        let acquisition = async {
            let guard = touch.lock(Exclusive).await.unwrap();
            guard.unlock().await.unwrap();
        };
        // On a runtime with one thread: were that thread blocked, nobody would end the stall.
        let bystander = async {
            until(|| server.stalled() == 1).await;
            server.go_on();
        };
        tokio::join!(acquisition, bystander);
        assert_eq!(server.holders(), 0, "{call}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_deadline_fires_while_a_call_is_stalled_and_what_it_gets_late_is_released() {
    for call in ["open", "try_lock", "is_current"] {
        let server = Arc::new(Server::default());
        let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
        server.stall(call);
        times_out(&touch, &server).await;
        server.go_on();
        until(|| server.open_handles() == 0 && server.stalled() == 0).await;
        assert_eq!(server.holders(), 0, "{call}");
        // The touch file itself is none the worse.
        drop(touch.lock(Exclusive).await.unwrap());
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_waiter_on_such_a_backend_can_be_cancelled() {
    let server = Arc::new(Server::default());
    let holder = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    let held = holder.lock(Exclusive).await.unwrap();
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(30), touch.lock(Exclusive));
    assert!(waiting.await.is_err());
    held.unlock().await.unwrap();
    until(|| server.holders() == 0).await;
    let again = tokio::time::timeout(FOR_EVER, touch.lock(Exclusive));
    again.await.unwrap().unwrap().unlock().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn dropping_a_guard_does_not_wait_for_a_stalled_release() {
    let server = Arc::new(Server::default());
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    server.stall("drop");
    drop(guard); // would hang here
    until(|| server.stalled() == 1).await;
    assert_eq!(server.holders(), 1);
    server.go_on();
    until(|| server.holders() == 0).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_conversion_that_is_given_up_while_it_is_stalled_does_not_cost_the_lock() {
    let server = Arc::new(Server::default());
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    let mut guard = touch.lock(Exclusive).await.unwrap();
    for _ in 0..2 {
        server.stall("convert");
        let conversion = tokio::time::timeout(Duration::from_millis(20), guard.downgrade());
        assert!(conversion.await.is_err());
        assert_eq!(server.holders(), 1);
    }
    server.go_on();
    // The next call waits for the one that was given up, and finds the lock where it was.
    guard.downgrade().await.unwrap();
    assert!(guard.try_upgrade().await.unwrap());
    assert_eq!(server.holders(), 1);
    guard.unlock().await.unwrap();
    assert_eq!(server.holders(), 0);
    assert_eq!(server.open_handles(), 1, "it was not reused");
}

#[tokio::test(flavor = "current_thread")]
async fn a_guard_dropped_during_a_stalled_conversion_releases_when_that_is_over() {
    for go_on_first in [false, true] {
        let server = Arc::new(Server::default());
        let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
        let mut guard = touch.lock(Exclusive).await.unwrap();
        server.stall("convert");
        let conversion = tokio::time::timeout(Duration::from_millis(20), guard.downgrade());
        assert!(conversion.await.is_err());
        if go_on_first {
            server.stall("drop"); // which would hang in the drop of the guard
            server.changed.notify_all();
            drop(guard);
            until(|| server.stalled() == 1).await;
        } else {
            drop(guard);
        }
        assert_eq!(server.holders(), 1);
        // It is still in the queue, too: nobody comes as far as opening another handle.
        assert!(touch.try_lock(Exclusive).await.unwrap().is_none());
        assert_eq!(server.open_handles(), 1);
        server.go_on();
        until(|| server.holders() == 0).await;
        let again = tokio::time::timeout(FOR_EVER, touch.lock(Exclusive));
        drop(again.await.unwrap().unwrap());
    }
}

#[test]
fn threads_without_a_runtime_give_up_at_their_deadline_too() {
    let server = Arc::new(Server::default());
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    server.stall("try_lock");
    let lock = touch
        .blocking()
        .lock_timeout(Exclusive, Duration::from_millis(20));
    assert!(lock.unwrap_err().is_timeout());
    server.go_on();
}

#[tokio::test]
async fn a_backend_that_panics_on_its_thread_is_an_error_and_the_next_acquisition_goes_on() {
    let server = Arc::new(Server::default());
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    for panic in ["panic", "panic in open"] {
        server.stall(panic);
        let error = touch.lock(Exclusive).await.unwrap_err();
        assert!(format!("{error:?}").contains("panicked"), "{error:?}");
        server.go_on();
        drop(touch.lock(Exclusive).await.unwrap());
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_handle_that_may_block_though_opening_it_does_not_is_moved_as_well() {
    let server = Arc::new(Server::default());
    let touch = TouchFile::new(OpensHere(Stalling(server.clone())), "/dir/a.lock").unwrap();
    server.stall("try_lock");
    times_out(&touch, &server).await;
    server.go_on();
    until(|| server.open_handles() == 0).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_handle_that_does_not_block_though_opening_it_may_comes_back() {
    let server = Arc::new(Server::default());
    server.state.lock().unwrap().answers_here = true;
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    let here = thread::current().id();
    assert_eq!(server.state.lock().unwrap().last_caller, Some(here));
    guard.unlock().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn all_calls_of_one_handle_are_made_on_one_thread() {
    let server = Arc::new(Server::default());
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    let mut callers = std::collections::HashSet::new();
    for _ in 0..10 {
        let guard = touch.lock(Exclusive).await.unwrap();
        callers.insert(server.state.lock().unwrap().last_caller);
        guard.unlock().await.unwrap();
        callers.insert(server.state.lock().unwrap().last_caller);
    }
    assert_eq!(callers.len(), 1);
    assert!(!callers.contains(&Some(thread::current().id())));
}

#[tokio::test(flavor = "current_thread")]
async fn a_release_that_fails_gives_the_place_back_when_the_handle_is_closed() {
    let server = Arc::new(Server::default());
    let touch = TouchFile::new(Stalling(server.clone()), "/dir/a.lock").unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    server.state.lock().unwrap().unlock_fails = true;
    server.stall("drop");
    guard.unlock().await.unwrap_err();
    until(|| server.stalled() == 1).await;
    assert!(touch.try_lock(Exclusive).await.unwrap().is_none());
    server.go_on();
    let next = tokio::time::timeout(FOR_EVER, touch.lock(Exclusive));
    drop(next.await.unwrap().unwrap());
}

/// The deadline fires while a call hangs, and not because it came back.
async fn times_out<B: LockBackend>(touch: &TouchFile<B>, server: &Server) {
    let mut timeout = Duration::from_millis(20);
    // On a busy machine the call may not have been begun by then, and it is not begun later.
    while server.stalled() == 0 {
        assert!(timeout < FOR_EVER, "nothing hangs");
        let started = Instant::now();
        let error = touch.lock_timeout(Exclusive, timeout).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert!(started.elapsed() >= timeout);
        timeout *= 2;
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(FOR_EVER, waiting).await.unwrap();
}

/// What the handles talk to. It can be told to leave the callers of one call waiting.
#[derive(Debug, Default)]
struct Server {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stalling: Option<&'static str>,
    stalled: usize,
    open_handles: usize,
    held: bool,
    unlock_fails: bool,
    /// Handles say that they do not block.
    answers_here: bool,
    last_caller: Option<thread::ThreadId>,
}

impl Server {
    fn stall(&self, call: &'static str) {
        self.state.lock().unwrap().stalling = Some(call);
    }

    fn go_on(&self) {
        self.state.lock().unwrap().stalling = None;
        self.changed.notify_all();
    }

    /// How many calls are being kept waiting.
    fn stalled(&self) -> usize {
        self.state.lock().unwrap().stalled
    }

    fn open_handles(&self) -> usize {
        self.state.lock().unwrap().open_handles
    }

    fn holders(&self) -> usize {
        usize::from(self.state.lock().unwrap().held)
    }

    fn call(&self, name: &str) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap();
        state.stalled += 1;
        let mut state = self
            .changed
            .wait_while(state, |state| state.stalling == Some(name))
            .unwrap();
        state.stalled -= 1;
        state.last_caller = Some(thread::current().id());
        state
    }
}

#[derive(Debug)]
struct Stalling(Arc<Server>);

/// The same, but that opening is known not to block.
#[derive(Debug)]
struct OpensHere(Stalling);

#[async_trait]
impl LockBackend for OpensHere {
    type Handle = Handle;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Handle> {
        self.0.open(path, options).await
    }
}

#[derive(Debug)]
struct Handle {
    server: Arc<Server>,
    holds: bool,
}

#[async_trait]
impl LockBackend for Stalling {
    type Handle = Handle;

    fn name(&self) -> &'static str {
        "stalling"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::NONE;
        capabilities.identity = true;
        capabilities.atomic_conversion = true;
        capabilities
    }

    async fn open(&self, _: &Path, _: &OpenOptions) -> io::Result<Handle> {
        assert!(
            self.0.state.lock().unwrap().stalling != Some("panic in open"),
            "as the test asked"
        );
        self.0.call("open").open_handles += 1;
        let server = self.0.clone();
        let holds = false;
        Ok(Handle { server, holds })
    }

    fn open_may_block(&self, _: &Path, _: &OpenOptions) -> bool {
        true
    }
}

#[async_trait]
impl LockHandle for Handle {
    async fn try_lock(&mut self, _: LockMode) -> io::Result<Attempt> {
        assert!(
            self.server.state.lock().unwrap().stalling != Some("panic"),
            "as the test asked"
        );
        let mut state = self.server.call("try_lock");
        if state.held {
            return Ok(Attempt::WouldBlock);
        }
        (state.held, self.holds) = (true, true);
        Ok(Attempt::Acquired)
    }

    async fn unlock(&mut self) -> io::Result<()> {
        let mut state = self.server.call("unlock");
        if state.unlock_fails {
            return Err(io::Error::from_raw_os_error(5));
        }
        (state.held, self.holds) = (false, false);
        Ok(())
    }

    async fn is_current(&self, _: &Path) -> io::Result<bool> {
        drop(self.server.call("is_current"));
        Ok(true)
    }

    fn may_block(&self) -> bool {
        !self.server.state.lock().unwrap().answers_here
    }

    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        Some(self)
    }
}

#[async_trait]
impl ConvertLock for Handle {
    async fn downgrade(&mut self) -> io::Result<()> {
        drop(self.server.call("convert"));
        Ok(())
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        drop(self.server.call("convert"));
        Ok(Attempt::Acquired)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let mut state = self.server.call("drop");
        state.held &= !self.holds;
        state.open_handles -= 1;
    }
}
