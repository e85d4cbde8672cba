//! Locks that are lost while they are held, over the mock with a paused clock.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{
    Attempt, BoxBackend, Capabilities, Error, LockBackend, LockHandle, LockMode, Loss, OpenOptions,
    TouchFile,
};
use touchfile_mock::{Call, Fault, MockBackend, World};

const PATH: &str = "/a.lock";
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_held_verifies_in_either_mode_and_is_held_on() {
    let (world, touch) = touch();
    for mode in [Exclusive, Shared] {
        let guard = touch.lock(mode).await.unwrap();
        guard.verify().await.unwrap();
        guard.verify().await.unwrap();
        assert_eq!(world.holders(PATH), [("a", mode)]);
        guard.unlock().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_taken_away_is_lost_whoever_has_it_now() {
    let (world, touch) = touch();
    let guard = touch.lock(Shared).await.unwrap();
    world.lose_lock(PATH);
    assert_lost(guard.verify().await, Loss::Revoked);
    let thief = TouchFile::new(world.process("b"), PATH).unwrap();
    let stolen = thief.lock(Exclusive).await.unwrap();
    assert_lost(guard.verify().await, Loss::Revoked);
    stolen.verify().await.unwrap();
    stolen.unlock().await.unwrap();
    assert_lost(guard.verify().await, Loss::Revoked);
    // The next acquisition is a new one.
    assert_lost(guard.unlock().await, Loss::Revoked);
    touch.lock(Shared).await.unwrap().verify().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_file_was_removed_or_replaced_is_lost() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.replace(PATH);
    assert_lost(guard.verify().await, Loss::Replaced);
    drop(guard);
    let guard = touch.lock(Exclusive).await.unwrap();
    world.unlink(PATH).unwrap();
    assert_lost(guard.verify().await, Loss::Replaced);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_replaced_is_noticed_though_acquisitions_do_not_look() {
    let world = World::new();
    let builder = TouchFile::builder(world.process("a")).path(PATH);
    let touch = builder.verify(false).build().unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.replace(PATH);
    assert_lost(guard.verify().await, Loss::Replaced);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_answers_is_not_known_after_a_while() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    for call in [Call::IsLost, Call::IsCurrent] {
        world.delay_next(call, MINUTE);
        let started = Instant::now();
        let error = guard.verify().await.unwrap_err();
        assert!(matches!(error, Error::Transient { .. }), "{error:?}");
        assert_eq!(error.path(), touch.path());
        assert!(started.elapsed() < MINUTE);
        guard.verify().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_is_no_loss() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.fail_next(Call::IsLost, std::io::ErrorKind::PermissionDenied);
    let error = guard.verify().await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "no permission to verify the lock on /a.lock"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_can_tell_nothing_refuses() {
    let world = World::new();
    let touch = with_claims(&world, |claims| {
        (claims.identity, claims.loss) = (false, false);
    });
    let guard = touch.lock(Exclusive).await.unwrap();
    let error = guard.verify().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    // Which waiting would not mend.
    assert!(matches!(
        guard.lost(SECOND).await,
        Error::Unsupported { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_backend_without_files_tells_of_losses_and_is_not_asked_for_its_file() {
    let world = World::new();
    let touch = with_claims(&world, |claims| claims.identity = false);
    let guard = touch.lock(Exclusive).await.unwrap();
    guard.verify().await.unwrap();
    let losing = async {
        tokio::time::sleep(MINUTE).await;
        world.lose_lock(PATH);
    };
    let (lost, ()) = tokio::join!(guard.lost(SECOND), losing);
    assert_lost(Err(lost), Loss::Revoked);
    assert_lost(guard.verify().await, Loss::Revoked);
    assert_lost(guard.unlock().await, Loss::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_at_once_where_the_backend_is_told() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    let started = Instant::now();
    let losing = async {
        tokio::time::sleep(SECOND).await;
        world.lose_lock(PATH);
    };
    let (lost, ()) = tokio::join!(guard.lost(MINUTE), losing);
    assert_lost(Err(lost), Loss::Revoked);
    assert_eq!(started.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_whoever_tells_does_not_end_the_wait() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.inject(Fault::fail(Call::Lost, io::ErrorKind::TimedOut).times(3));
    let losing = async {
        tokio::time::sleep(MINUTE).await;
        world.lose_lock(PATH);
    };
    let (lost, ()) = tokio::join!(guard.lost(SECOND), losing);
    assert_lost(Err(lost), Loss::Revoked);
    world.fail_next(Call::Lost, io::ErrorKind::PermissionDenied);
    let error = guard.lost(SECOND).await;
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_has_run_out_is_a_loss_without_asking_anybody() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.expire_lock(PATH);
    assert!(guard.valid_until().unwrap() <= Instant::now());
    world.inject(Fault::fail(Call::IsLost, io::ErrorKind::TimedOut));
    assert_lost(guard.verify().await, Loss::Expired);
    assert_eq!(world.armed_faults(), 1);
    assert_lost(Err(guard.lost(SECOND).await), Loss::Expired);
    assert_lost(guard.unlock().await, Loss::Expired);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_ends_a_question_that_nobody_answers_and_a_wait_for_a_loss() {
    let until = Instant::now() + 5 * SECOND;
    let touch = TouchFile::new(Leased(until), PATH).unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    assert_lost(guard.verify().await, Loss::Expired);
    assert!(until <= Instant::now() && Instant::now() < until + SECOND);

    let until = Instant::now() + 5 * SECOND;
    let touch = TouchFile::new(Leased(until), PATH).unwrap();
    let guard = touch.lock(Exclusive).await.unwrap();
    assert_lost(Err(guard.lost(MINUTE).await), Loss::Expired);
    assert!(until <= Instant::now() && Instant::now() < until + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_at_the_next_check_and_not_before() {
    let world = World::new();
    let touch = with_claims(&world, |claims| claims.loss = false);
    let guard = touch.lock(Exclusive).await.unwrap();
    let started = Instant::now();
    let losing = async {
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        world.lose_lock(PATH);
    };
    let (lost, ()) = tokio::join!(guard.lost(SECOND), losing);
    assert!(matches!(lost, Error::Lost { .. }), "{lost:?}");
    assert_eq!(started.elapsed(), 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_loss_and_a_loss_in_it_is_told_after_it() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    world.inject(Fault::delay(Call::Lost, MINUTE));
    let started = Instant::now();
    world.lose_lock(PATH);
    assert!(matches!(guard.lost(SECOND).await, Error::Lost { .. }));
    assert_eq!(world.armed_faults(), 0, "it asked once only");
    assert!(started.elapsed() >= 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn work_is_stopped_by_the_loss_and_else_not_at_all() {
    let (world, touch) = touch();
    for loses in [false, true] {
        let guard = touch.lock(Exclusive).await.unwrap();
        let work = async {
            tokio::time::sleep(MINUTE).await;
            if loses {
                world.lose_lock(PATH);
            }
            tokio::time::sleep(MINUTE).await;
        };
        let stopped = tokio::select! {
            () = work => false,
            _ = guard.lost(SECOND) => true,
        };
        assert_eq!(stopped, loses);
    }
}

#[tokio::test(start_paused = true)]
async fn a_zero_interval_leaves_time_for_others() {
    let (world, touch) = touch();
    let guard = touch.lock(Exclusive).await.unwrap();
    let losing = async {
        tokio::time::sleep(SECOND).await;
        world.lose_lock(PATH);
    };
    let (lost, ()) = tokio::join!(guard.lost(Duration::ZERO), losing);
    assert!(matches!(lost, Error::Lost { .. }), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_known_behind_a_boxed_backend_and_to_an_owned_guard() {
    let world = World::new();
    let touch = TouchFile::new(BoxBackend::new(world.process("a")), PATH).unwrap();
    let guard = std::sync::Arc::new(touch)
        .lock_exclusive_owned()
        .await
        .unwrap();
    world.lose_locks_of("a");
    assert_lost(guard.verify().await, Loss::Revoked);
}

#[test]
fn threads_without_a_runtime_can_ask_as_well() {
    let (world, touch) = touch();
    let guard = touch.blocking().lock_exclusive().unwrap();
    guard.verify().unwrap();
    world.lose_lock(PATH);
    assert_lost(guard.verify(), Loss::Revoked);
}

/// Grants locks until a moment, and its server answers nothing.
#[derive(Clone, Copy, Debug)]
struct Leased(Instant);

#[async_trait]
impl LockBackend for Leased {
    type Handle = Self;

    fn name(&self) -> &'static str {
        "leased"
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = Capabilities::NONE;
        claims.loss = true;
        claims
    }

    async fn open(&self, _: &Path, _: &OpenOptions) -> io::Result<Self> {
        Ok(*self)
    }
}

#[async_trait]
impl LockHandle for Leased {
    async fn try_lock(&mut self, _: LockMode) -> io::Result<Attempt> {
        Ok(Attempt::Acquired)
    }

    async fn unlock(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn is_current(&self, _: &Path) -> io::Result<bool> {
        unreachable!("it has no files, and does not claim `identity`")
    }

    async fn is_lost(&self) -> io::Result<bool> {
        std::future::pending().await
    }

    fn valid_until(&self) -> Option<Instant> {
        Some(self.0)
    }
}

fn with_claims(world: &World, change: impl FnOnce(&mut Capabilities)) -> TouchFile<MockBackend> {
    let backend = world.process("a");
    let mut claims = backend.capabilities();
    change(&mut claims);
    TouchFile::new(backend.with_capabilities(claims), PATH).unwrap()
}

fn touch() -> (World, TouchFile<MockBackend>) {
    let world = World::new();
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    (world, touch)
}

#[track_caller]
fn assert_lost(verified: Result<(), Error>, how: Loss) {
    let error = verified.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    let Error::Lost { loss, .. } = &error else {
        unreachable!("{error:?}");
    };
    assert_eq!(*loss, how);
    assert!(error.to_string().contains(PATH), "{error}");
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::StaleNetworkFileHandle);
}
