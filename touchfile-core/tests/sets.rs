//! Several locks at once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Error, LockSet, TouchFile};
use touchfile_mock::{Call, EventKind, MockBackend, World};

const SECOND: Duration = Duration::from_secs(1);

type Touch = Arc<TouchFile<MockBackend>>;

fn touch(world: &World, path: &str) -> Touch {
    Arc::new(TouchFile::new(world.process("a"), path).unwrap())
}

fn set<const N: usize>(touches: [&Touch; N]) -> LockSet<MockBackend> {
    let add = |set: LockSet<_>, touch: &Touch| set.exclusive(touch.clone());
    touches.into_iter().fold(LockSet::new(), add)
}

/// The paths whose locks were taken or released, in order.
fn paths(world: &World, is_meant: fn(&EventKind) -> bool) -> Vec<String> {
    let history = world.history();
    let events = history.iter().filter(|event| is_meant(&event.what));
    let paths = events.filter_map(|event| event.path.as_deref());
    paths.map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn locks_are_taken_in_the_order_of_the_files_and_released_in_reverse() {
    let world = World::new();
    for path in ["/second", "/first", "/third"] {
        world.create(path); // the mock counts its files in the order in which they come to be
    }
    let [first, second, third] = ["/first", "/second", "/third"].map(|path| touch(&world, path));
    let in_order = ["/second", "/first", "/third"];
    let reversed = ["/third", "/first", "/second"];
    for touches in [[&first, &second, &third], [&third, &second, &first]] {
        for unlocks in [true, false] {
            world.clear_history();
            let guards = set(touches).lock().await.unwrap();
            for (index, touch) in touches.iter().enumerate() {
                assert_eq!(guards[index].path(), touch.path());
            }
            let all: Vec<_> = guards.iter().map(|guard| guard.path().to_owned()).collect();
            assert!(all.iter().eq(touches.iter().map(|touch| touch.path())));
            if unlocks {
                guards.unlock().await.unwrap();
            } else {
                drop(guards);
            }
            let taken = paths(&world, |what| matches!(what, EventKind::Acquired(_)));
            assert_eq!(taken, in_order);
            let released = paths(&world, |what| matches!(what, EventKind::Released(_)));
            assert_eq!(released, reversed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_deadline_is_for_all_and_nothing_is_held_when_it_has_passed() {
    let world = World::new();
    let [a, b, c] = ["/a", "/b", "/c"].map(|path| touch(&world, path));
    set([&a, &b, &c])
        .lock()
        .await
        .unwrap()
        .unlock()
        .await
        .unwrap();
    let busy = TouchFile::new(world.process("b"), "/b").unwrap();
    let until = |seconds, touch: TouchFile<MockBackend>| async move {
        let guard = touch.lock_exclusive().await.unwrap();
        tokio::time::sleep(seconds * SECOND).await;
        drop(guard);
    };
    let for_three = tokio::spawn(until(3, busy));
    let for_ever = TouchFile::new(world.process("c"), "/c").unwrap();
    let _held = for_ever.lock_exclusive().await.unwrap();
    tokio::task::yield_now().await;
    let began = Instant::now();
    let error = set([&c, &b, &a])
        .lock_timeout(5 * SECOND)
        .await
        .unwrap_err();
    assert_eq!(began.elapsed(), 5 * SECOND);
    let Error::Timeout { path, waited, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((path.as_path(), *waited), (Path::new("/c"), 5 * SECOND));
    for_three.await.unwrap();
    assert!(set([&a, &b]).try_lock().await.unwrap().is_some());
    assert!(set([&a, &c]).try_lock().await.unwrap().is_none());
    assert!(a.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_shortest_default_timeout_is_that_of_the_set() {
    let world = World::new();
    let with_timeout = |path, seconds: u32| {
        let builder = TouchFile::builder(world.process("a")).path(path);
        builder.timeout(seconds * SECOND).build().unwrap()
    };
    let other = TouchFile::new(world.process("b"), "/a").unwrap();
    let _held = other.lock_shared().await.unwrap();
    let set = LockSet::new()
        .exclusive(with_timeout("/a", 60))
        .shared(with_timeout("/b", 2));
    let began = Instant::now();
    assert!(set.lock().await.unwrap_err().is_timeout());
    assert_eq!(began.elapsed(), 2 * SECOND);
}

#[tokio::test]
async fn a_lock_that_fails_or_a_wait_that_is_dropped_releases_the_others() {
    let world = World::new();
    let [a, b] = ["/a", "/b"].map(|path| touch(&world, path));
    let both = set([&a, &b]);
    drop(both.lock().await.unwrap());
    world.inject(
        touchfile_mock::Fault::fail(Call::TryLock, std::io::ErrorKind::Other).on_path("/b"),
    );
    assert!(matches!(both.lock().await, Err(Error::Io { .. })));
    assert!(a.try_lock(Exclusive).await.unwrap().is_some());

    let other = TouchFile::new(world.process("b"), "/b").unwrap();
    let _held = other.lock_exclusive().await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(5), both.lock());
    assert!(wait.await.is_err());
    assert!(a.try_lock(Exclusive).await.unwrap().is_some());
}

#[tokio::test]
async fn one_file_by_two_names_is_refused_with_both() {
    let world = World::new();
    world.create("/a");
    world.hard_link("/a", "/link").unwrap();
    let [a, link] = ["/a", "/link"].map(|path| touch(&world, path));
    for twice in [set([&a, &link]), set([&a, &a])] {
        let refused = twice.lock().await.unwrap_err();
        assert!(matches!(refused, Error::InvalidPath { .. }), "{refused:?}");
        assert!(
            refused.to_string().contains("the same lock as /a"),
            "{refused}"
        );
        assert!(twice.try_lock().await.is_err());
    }
    assert!(world.holders("/a").is_empty());
}

#[tokio::test]
async fn a_file_that_is_replaced_meanwhile_is_put_in_order_anew() {
    let world = World::new();
    let [a, b] = ["/a", "/b"].map(|path| touch(&world, path));
    let both = set([&a, &b]);
    drop(both.lock().await.unwrap());
    world.replace("/a"); // it is the later one by now
    world.clear_history();
    let guards = both.lock().await.unwrap();
    let taken = paths(&world, |what| matches!(what, EventKind::Acquired(_)));
    assert_eq!(taken[taken.len() - 2..], ["/b", "/a"], "{taken:?}");
    for guard in guards.iter() {
        guard.verify().await.unwrap();
    }
}

#[test]
fn threads_have_the_same_methods() {
    let world = World::new();
    let [a, b] = ["/a", "/b"].map(|path| touch(&world, path));
    let both = set([&a, &b]);
    let guards = both.blocking().lock().unwrap();
    assert_eq!(guards[1].path(), Path::new("/b"));
    assert!(both.blocking().try_lock().unwrap().is_none());
    let soon = std::time::Instant::now() + Duration::from_millis(20);
    assert!(both.blocking().lock_until(soon).unwrap_err().is_timeout());
    guards.unlock().unwrap();
    let patient = both.blocking().lock_timeout(60 * SECOND).unwrap();
    drop(patient);
    assert!(LockSet::<MockBackend>::new().blocking().lock().is_ok());
}

#[cfg(unix)]
mod on_files {
    use std::io;
    use std::path::Path;

    use touchfile_core::{BoxBackend, LockMode, LockSet, TouchFile};
    use touchfile_flock::FlockBackend;
    use touchfile_mock::World;

    #[test]
    fn files_are_told_apart_by_what_they_are_and_how_they_are_locked() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.lock");
        let flock = BoxBackend::new(FlockBackend::new());
        let open = |backend: &BoxBackend, path: &Path| TouchFile::new(backend.clone(), path);
        let mock = BoxBackend::new(World::new().process("a"));
        let different = LockSet::new()
            .exclusive(open(&flock, &path)?)
            .with(open(&mock, &path)?, LockMode::Shared);
        different.blocking().lock()?.unlock()?;

        std::fs::hard_link(&path, dir.path().join("link"))?;
        let same = LockSet::new()
            .shared(open(&flock, &path)?)
            .shared(open(&flock, &dir.path().join("link"))?);
        assert!(same.blocking().lock().is_err());
        Ok(())
    }
}
