//! Taking and releasing, over the mock: what holds for every backend.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{BoxBackend, Capabilities, Error, LockBackend, TouchFile};
use touchfile_mock::{Call, MockBackend, World};

const PATH: &str = "/some/where/a.lock";

fn touch(world: &World, process: &str) -> Arc<TouchFile<MockBackend>> {
    Arc::new(TouchFile::new(world.process(process), PATH).unwrap())
}

#[tokio::test]
async fn two_tasks_on_one_touch_file_exclude_each_other() {
    let touch = touch(&World::new(), "a");
    let guard = touch.lock_exclusive().await.unwrap();
    assert!(touch.try_lock(Exclusive).await.unwrap().is_none());
    assert!(touch.try_lock(Shared).await.unwrap().is_none());
    drop(guard);
    assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn shared_guards_are_held_together_and_one_waiting_writer_holds_readers_back() {
    let touch = touch(&World::new(), "a");
    let first = touch.lock_shared().await.unwrap();
    let second = touch.lock_shared().await.unwrap();
    let writer = tokio::spawn(touch.clone().lock_exclusive_owned());
    tokio::task::yield_now().await;
    assert!(
        touch.try_lock(Shared).await.unwrap().is_none(),
        "the writer was overtaken"
    );
    drop((first, second));
    assert_eq!(writer.await.unwrap().unwrap().mode(), Exclusive);
}

#[tokio::test]
async fn two_touch_files_on_one_path_exclude_each_other() {
    let world = World::new();
    let (one, two) = (touch(&world, "a"), touch(&world, "a"));
    let guard = one.lock_exclusive().await.unwrap();
    assert!(two.try_lock(Exclusive).await.unwrap().is_none());
    guard.unlock().await.unwrap();
    assert!(two.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn handles_are_reused() {
    let world = World::new();
    let touch = touch(&world, "a");
    for _ in 0..10 {
        touch
            .lock_exclusive()
            .await
            .unwrap()
            .unlock()
            .await
            .unwrap();
        drop(touch.lock_shared().await.unwrap());
        assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
    }
    assert_eq!(world.open_handles("a"), 1);
}

#[tokio::test]
async fn a_handful_of_idle_handles_is_kept() {
    let world = World::new();
    let touch = touch(&world, "a");
    let mut guards = Vec::new();
    for _ in 0..20 {
        guards.push(touch.lock_shared().await.unwrap());
    }
    assert_eq!(world.open_handles("a"), 20);
    drop(guards);
    assert!((1..=4).contains(&world.open_handles("a")));
}

#[tokio::test]
async fn a_stale_idle_handle_is_not_reused() {
    let world = World::new();
    let (a, b) = (touch(&world, "a"), touch(&world, "b"));
    drop(a.lock_exclusive().await.unwrap());
    world.replace(PATH);
    let guard = b.lock_exclusive().await.unwrap();
    assert!(a.try_lock(Exclusive).await.unwrap().is_none());
    drop(guard);
    assert!(a.try_lock(Exclusive).await.unwrap().is_some());
    assert_eq!(world.open_handles("a"), 1);
}

#[tokio::test]
async fn a_holder_of_a_file_that_is_gone_is_in_nobodys_way() {
    let world = World::new();
    let (a, b) = (touch(&world, "a"), touch(&world, "b"));
    // `b` has an idle handle on the file that `a` then holds and somebody unlinks.
    drop(b.lock_exclusive().await.unwrap());
    let _orphan = a.lock_exclusive().await.unwrap();
    world.unlink(PATH).unwrap();
    assert!(b.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_replaced_over_and_over_is_an_error_in_the_end() {
    #[derive(Debug)]
    struct NeverCurrent;
    #[derive(Debug)]
    struct Handle;
    #[async_trait::async_trait]
    impl LockBackend for NeverCurrent {
        type Handle = Handle;
        fn name(&self) -> &'static str {
            "never current"
        }
        fn capabilities(&self) -> Capabilities {
            let mut capabilities = Capabilities::NONE;
            capabilities.identity = true;
            capabilities
        }
        async fn open(&self, _: &Path, _: &touchfile_core::OpenOptions) -> io::Result<Handle> {
            Ok(Handle)
        }
    }
    #[async_trait::async_trait]
    impl touchfile_core::LockHandle for Handle {
        async fn try_lock(
            &mut self,
            _: touchfile_core::LockMode,
        ) -> io::Result<touchfile_core::Attempt> {
            Ok(touchfile_core::Attempt::Acquired)
        }
        async fn unlock(&mut self) -> io::Result<()> {
            Ok(())
        }
        async fn is_current(&self, _: &Path) -> io::Result<bool> {
            Ok(false)
        }
    }
    let touch = TouchFile::new(NeverCurrent, PATH).unwrap();
    assert!(matches!(
        touch.lock_exclusive().await.unwrap_err(),
        Error::Replaced { .. }
    ));
    assert!(matches!(
        touch.try_lock(Exclusive).await.unwrap_err(),
        Error::Replaced { .. }
    ));
    let touch = TouchFile::builder(NeverCurrent)
        .path(PATH)
        .verify(false)
        .build()
        .unwrap();
    assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn a_failed_release_is_told_and_the_handle_is_closed() {
    let world = World::new();
    let touch = touch(&world, "a");
    world.fail_next(Call::Unlock, io::ErrorKind::Other);
    let error = touch
        .lock_exclusive()
        .await
        .unwrap()
        .unlock()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Release { .. }), "{error:?}");
    assert_eq!(world.open_handles("a"), 0);
    assert!(world.holders(PATH).is_empty());
    // A dropped guard logs it, and the next acquisition is none the worse.
    world.fail_next(Call::Unlock, io::ErrorKind::Other);
    drop(touch.lock_exclusive().await.unwrap());
    assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn errors_of_each_call_are_told_apart() {
    let world = World::new();
    let touch = touch(&world, "a");
    world.fail_next(Call::Open, io::ErrorKind::PermissionDenied);
    assert!(matches!(
        touch.lock_exclusive().await.unwrap_err(),
        Error::Permission { .. }
    ));
    world.fail_next(Call::TryLock, io::ErrorKind::Unsupported);
    assert!(matches!(
        touch.lock_exclusive().await.unwrap_err(),
        Error::Unsupported { .. }
    ));
    world.fail_next(Call::TryLock, io::ErrorKind::OutOfMemory);
    let error = touch.try_lock(Exclusive).await.unwrap_err();
    assert!(matches!(error, Error::Transient { .. }), "{error:?}");
    assert_eq!(error.path(), Path::new(PATH));
    world.fail_next(Call::IsCurrent, io::ErrorKind::Other);
    assert!(matches!(
        touch.lock_exclusive().await.unwrap_err(),
        Error::Io { .. }
    ));
    assert!(
        world.holders(PATH).is_empty(),
        "an acquisition that failed holds the lock"
    );
    assert!(
        touch.try_lock(Exclusive).await.unwrap().is_some(),
        "the queue is blocked"
    );
}

#[tokio::test]
async fn what_a_backend_does_not_claim_is_refused() {
    let world = World::new();
    let backend = || world.process("a").with_capabilities(Capabilities::NONE);
    let touch = TouchFile::new(backend(), PATH).unwrap();
    assert!(matches!(
        touch.lock_shared().await.unwrap_err(),
        Error::Unsupported { .. }
    ));
    assert!(matches!(
        touch.try_lock(Shared).await.unwrap_err(),
        Error::Unsupported { .. }
    ));
    assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
    let refused = [
        TouchFile::builder(backend())
            .path(PATH)
            .verify(true)
            .build(),
        TouchFile::builder(backend())
            .path(PATH)
            .remove_on_release(true)
            .build(),
        TouchFile::temporary(backend()),
    ];
    for result in refused {
        assert!(matches!(result.unwrap_err(), Error::Unsupported { .. }));
    }
}

#[tokio::test]
async fn a_removed_file_is_waited_for_anew() {
    let world = World::new();
    let removing = |process: &str| {
        let builder = TouchFile::builder(world.process(process)).path(PATH);
        Arc::new(builder.remove_on_release(true).build().unwrap())
    };
    let (a, b) = (removing("a"), removing("b"));
    let guard = a.lock_exclusive().await.unwrap();
    let waiter = tokio::spawn(b.clone().lock_exclusive_owned());
    while world.waiters(PATH).is_empty() {
        tokio::task::yield_now().await;
    }
    guard.unlock().await.unwrap();
    let guard = waiter.await.unwrap().unwrap();
    assert!(a.try_lock(Exclusive).await.unwrap().is_none());
    drop(guard);
    assert!(!world.exists(PATH));
}

#[tokio::test]
async fn a_boxed_and_a_shared_backend_are_backends_too() {
    let world = World::new();
    let boxed = TouchFile::new(BoxBackend::new(world.process("a")), PATH).unwrap();
    let shared = TouchFile::new(Arc::new(world.process("b")), PATH).unwrap();
    let guard = boxed.lock_exclusive().await.unwrap();
    assert_eq!(boxed.backend().name(), "mock");
    assert!(shared.try_lock(Exclusive).await.unwrap().is_none());
    guard.unlock().await.unwrap();
    assert!(shared.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn with_lock_releases_whatever_the_closure_does() {
    let world = World::new();
    let touch = touch(&world, "a");
    let double = touch
        .with_lock(Exclusive, async |guard| guard.path().as_os_str().len() * 2)
        .await;
    assert_eq!(double.unwrap(), PATH.len() * 2);
    let failed: Result<(), &str> = touch
        .with_lock(Exclusive, async |_| Err("it went wrong"))
        .await
        .unwrap();
    assert!(failed.is_err());
    assert!(world.holders(PATH).is_empty());

    let panicking = touch.clone();
    let task = tokio::spawn(async move {
        panicking
            .with_lock(Exclusive, async |_| panic!("on purpose"))
            .await
            .unwrap()
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(world.holders(PATH).is_empty());

    let cancelled = touch.clone();
    let task = tokio::spawn(async move {
        cancelled
            .with_lock(Exclusive, async |_| std::future::pending::<()>().await)
            .await
    });
    while world.holders(PATH).is_empty() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(world.holders(PATH).is_empty());
}

#[test]
fn with_lock_of_threads_releases_whatever_the_closure_does() {
    let world = World::new();
    let touch = touch(&world, "a");
    let blocking = touch.blocking();
    assert_eq!(
        blocking.with_lock(Exclusive, |guard| guard.mode()).unwrap(),
        Exclusive
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        blocking
            .with_lock(Exclusive, |_| panic!("on purpose"))
            .unwrap()
    }));
    assert!(panicked.is_err());
    assert!(blocking.try_lock(Exclusive).unwrap().is_some());
}

#[test]
fn a_name_is_what_the_platform_of_the_backend_makes_of_it() {
    let touch = TouchFile::new(World::new().process("a"), "a.lock").unwrap();
    assert_eq!(touch.path(), Path::new("/a.lock")); // the current directory of a world is its root
}

#[test]
fn an_empty_name_is_refused_when_the_touch_file_is_made() {
    let error = TouchFile::new(World::new().process("a"), "").unwrap_err();
    assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
}

#[test]
fn a_temporary_file_goes_with_its_touch_file_unless_it_is_kept_or_held() {
    let world = World::new();
    let temporary = || TouchFile::temporary(world.process("a")).unwrap();
    let (gone, kept, held) = (temporary(), temporary(), temporary());
    for touch in [&gone, &kept, &held] {
        drop(touch.blocking().lock_exclusive().unwrap());
        assert!(world.exists(touch.path()));
    }
    let paths = [
        gone.path().to_owned(),
        kept.keep().to_owned(),
        held.path().to_owned(),
    ];
    let other = TouchFile::new(world.process("b"), held.path()).unwrap();
    let _guard = other.blocking().lock_shared().unwrap();
    drop((gone, kept, held));
    assert_eq!(paths.map(|path| world.exists(path)), [false, true, true]);
}
