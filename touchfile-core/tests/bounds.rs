//! What may be sent, shared and moved: part of the interface, though no signature says it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use touchfile_core::LockMode::Exclusive;
use touchfile_core::backoff::Backoff;
use touchfile_core::{
    Attempt, Blocking, BlockingLockSetGuard, BoxBackend, Capabilities, Error, LockGuard, LockMode,
    LockSet, LockSetGuard, Loss, OpenFile, OpenOptions, Operation, OwnedLockGuard, TouchFile,
    TouchFileBuilder, WaitEvent,
};
use touchfile_mock::{MockBackend, World};

#[test]
fn bounds() {
    fn check<T: Send + Sync + Unpin>() {}
    check::<Attempt>();
    check::<Backoff>();
    check::<Blocking<&TouchFile<MockBackend>>>();
    check::<Blocking<Arc<TouchFile<MockBackend>>>>();
    check::<BoxBackend>();
    check::<TouchFileBuilder<MockBackend>>();
    check::<Capabilities>();
    check::<Error>();
    check::<LockGuard<'_, MockBackend>>();
    check::<LockSet<MockBackend>>();
    check::<LockSetGuard<MockBackend>>();
    check::<BlockingLockSetGuard<MockBackend>>();
    check::<OpenFile>();
    check::<LockMode>();
    check::<Loss>();
    check::<OpenOptions>();
    check::<Operation>();
    check::<OwnedLockGuard<MockBackend>>();
    check::<TouchFile<MockBackend>>();
    check::<TouchFile<BoxBackend>>();
    check::<WaitEvent<'_>>();
    fn outlives<T: 'static>() {}
    outlives::<Error>();
    outlives::<OwnedLockGuard<MockBackend>>();
    fn converts<T: Into<io::Error>>() {}
    converts::<Error>();
}

#[test]
fn every_future_can_be_sent_to_another_thread() {
    fn check<T: Send>(future: T) {
        drop(future);
    }
    let touch = TouchFile::new(World::new().process("a"), "/a.lock").unwrap();
    let touch = Arc::new(touch);
    let some_time = Duration::from_secs(1);
    check(touch.lock(Exclusive));
    check(touch.lock_exclusive());
    check(touch.lock_shared());
    check(touch.lock_timeout(Exclusive, some_time));
    check(touch.try_lock(Exclusive));
    check(touch.clone().lock_owned(Exclusive));
    check(touch.clone().lock_exclusive_owned());
    check(touch.clone().lock_shared_owned());
    check(touch.clone().lock_timeout_owned(Exclusive, some_time));
    check(touch.clone().try_lock_owned(Exclusive));
    let set = LockSet::new().exclusive(touch.clone());
    check(set.lock());
    check(set.lock_timeout(some_time));
    check(set.try_lock());
    check(touch.with_lock(Exclusive, async |_| ()));
    let mut guard = touch.blocking().lock_exclusive().unwrap();
    check(guard.downgrade());
    check(guard.try_upgrade());
    check(guard.unlock());
}
