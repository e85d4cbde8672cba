//! Locking files that are open already.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::{TempDir, tempdir};
use touchfile::LockMode::{Exclusive, Shared};
use touchfile::{
    Blocking, BoxBackend, Error, LockMode, Loss, OpenFile, OwnedBlockingLockGuard, TouchFile,
};

struct Test {
    _dir: TempDir,
    path: PathBuf,
}

impl Test {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let path = dir.path().join("a.lock");
        Self { path, _dir: dir }
    }

    fn open(&self) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(&self.path).unwrap()
    }

    fn touch(&self) -> Arc<TouchFile> {
        Arc::new(TouchFile::open_file(self.open()).unwrap())
    }

    /// Whether others can lock the file that is at the path.
    fn others_can(&self, mode: LockMode) -> bool {
        let other = TouchFile::open(&self.path).unwrap();
        other.blocking().try_lock(mode).unwrap().is_some()
    }
}

#[test]
fn every_blocking_way_of_locking_is_there_and_excludes_others() {
    let test = Test::new();
    let touch = test.touch();
    let patience = Duration::from_secs(60);
    type Way = fn(Blocking<Arc<TouchFile>>, Duration) -> OwnedBlockingLockGuard;
    let ways: [Way; 3] = [
        |touch, _| touch.lock_exclusive().unwrap(),
        |touch, patience| touch.lock_timeout(Exclusive, patience).unwrap(),
        |touch, _| touch.try_lock(Exclusive).unwrap().unwrap(),
    ];
    for lock in ways {
        let guard = lock(touch.clone().blocking_owned(), patience);
        assert!(!test.others_can(Shared));
        guard.unlock().unwrap();
        assert!(test.others_can(Exclusive));
    }
}

#[tokio::test]
async fn a_wait_for_an_open_file_gets_the_lock_and_one_that_is_dropped_leaves_it_usable() {
    let test = Test::new();
    let touch = test.touch();
    let other = TouchFile::open(&test.path).unwrap();
    let held = other.lock_exclusive().await.unwrap();
    let soon = Duration::from_millis(60);
    let error = touch.lock_timeout(Exclusive, soon).await.unwrap_err();
    assert!(error.is_timeout());
    assert!(
        tokio::time::timeout(soon, touch.lock(Shared))
            .await
            .is_err()
    );
    let waiter = tokio::spawn(touch.clone().lock_exclusive_owned());
    tokio::task::yield_now().await;
    held.unlock().await.unwrap();
    let guard = waiter.await.unwrap().unwrap();
    assert!(other.try_lock(Shared).await.unwrap().is_none());
    guard.unlock().await.unwrap();
    assert!(other.try_lock(Exclusive).await.unwrap().is_some());
}

#[test]
fn guards_that_share_an_open_file_hold_it_until_the_last_is_gone() {
    let test = Test::new();
    let file = OpenFile::from(test.open());
    let one = TouchFile::open_file(file.clone()).unwrap();
    let two = TouchFile::open_file(file).unwrap();
    let first = one.blocking().lock_shared().unwrap();
    let second = one.blocking().lock_shared().unwrap();
    let third = two.blocking().lock_shared().unwrap();
    drop((first, third));
    assert!(!test.others_can(Exclusive));
    assert!(test.others_can(Shared));
    assert!(two.blocking().try_lock(Exclusive).unwrap().is_none());
    drop(second);
    let _alone = two.blocking().lock_exclusive().unwrap();
    assert!(one.blocking().try_lock(Shared).unwrap().is_none());
    assert!(!test.others_can(Shared));
}

#[test]
fn the_caller_keeps_a_copy_and_the_guard_has_the_file() {
    let test = Test::new();
    let mut kept = test.open();
    let touch = TouchFile::open_file(kept.try_clone().unwrap()).unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    guard.file().unwrap().write_all(b"mine").unwrap();
    drop(guard);
    drop(touch);
    assert!(test.others_can(Exclusive), "the copy kept the lock");
    let mut text = String::new();
    kept.rewind().unwrap();
    kept.read_to_string(&mut text).unwrap();
    assert_eq!(text, "mine");
}

#[test]
fn the_lock_is_on_the_file_and_not_on_its_name() {
    let test = Test::new();
    let touch = test.touch();
    let guard = touch.blocking().lock_exclusive().unwrap();
    guard.verify().unwrap();
    let moved = test.path.with_extension("moved");
    fs::rename(&test.path, &moved).unwrap();
    guard.verify().unwrap();
    assert!(test.others_can(Exclusive), "it is another file");
    let other = TouchFile::open(&moved).unwrap();
    assert!(other.blocking().try_lock(Shared).unwrap().is_none());
    drop(other);
    fs::remove_file(&moved).unwrap();
    // Windows may keep the name of a file that is removed for as long as it is open.
    if cfg!(unix) {
        let lost = guard.verify().unwrap_err();
        assert!(
            matches!(lost, Error::Lost { loss, .. } if loss == Loss::Replaced),
            "{lost:?}"
        );
    }
    drop(guard);
    // There is nothing to start over with.
    drop(touch.blocking().lock_exclusive().unwrap());
}

#[test]
fn a_file_that_never_had_a_name_is_locked_and_its_holder_is_found() {
    let file = OpenFile::from(tempfile::tempfile().unwrap());
    let touch = TouchFile::open_file(file.clone()).unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    guard.verify().unwrap();
    let error = TouchFile::open_file(file)
        .unwrap()
        .blocking()
        .lock_timeout(Shared, Duration::ZERO)
        .unwrap_err();
    if cfg!(target_os = "linux") {
        let pid = format!("held by this process, pid {}", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
    }
}

#[test]
fn what_needs_a_path_is_refused() {
    let test = Test::new();
    let options = || TouchFile::options().file(test.open());
    for builder in [options().remove_on_release(true), options().verify(true)] {
        let refused = builder.build().unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    }
    assert!(test.path.exists());
}

#[test]
fn a_backend_without_files_refuses_when_it_is_given_one() {
    let mock = BoxBackend::new(touchfile_mock::World::new().process("a"));
    let refused = TouchFile::from_file(mock, tempfile::tempfile().unwrap()).unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("take over the open file"),
        "{refused}"
    );
}

#[cfg(unix)]
#[test]
fn an_open_file_is_locked_through_a_boxed_backend() {
    let test = Test::new();
    let flock = BoxBackend::new(touchfile::FlockBackend::new());
    let touch = TouchFile::from_file(flock, test.open()).unwrap();
    let _guard = touch.blocking().lock_exclusive().unwrap();
    assert!(!test.others_can(Shared));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_locked_with_fcntl_as_far_as_it_is_open_for_it() {
    use touchfile::FcntlBackend;

    let test = Test::new();
    drop(test.open());
    let adopt = |file| TouchFile::from_file(FcntlBackend::new(), file).unwrap();
    let reader = adopt(File::open(&test.path).unwrap());
    let writer = adopt(OpenOptions::new().append(true).open(&test.path).unwrap());
    let both = adopt(test.open());
    for (touch, mode) in [(&reader, Exclusive), (&writer, Shared)] {
        let refused = touch.blocking().lock(mode).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    }
    drop(reader.blocking().lock_shared().unwrap());
    drop(writer.blocking().lock_exclusive().unwrap());

    let mut guard = both.blocking().lock_exclusive().unwrap();
    guard.downgrade().unwrap();
    drop(reader.blocking().try_lock(Shared).unwrap().unwrap());
    let also = both.blocking().lock_shared().unwrap();
    assert!(!guard.try_upgrade().unwrap());
    drop(also);
    assert!(guard.try_upgrade().unwrap());
    assert!(reader.blocking().try_lock(Shared).unwrap().is_none());
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_locks_with_flock_is_excluded_and_excludes() {
    let test = Test::new();
    let touch = test.touch();
    let flock = |path: &Path| {
        let status = std::process::Command::new("flock")
            .args(["--nonblock", "--exclusive"])
            .arg(path)
            .arg("true")
            .status();
        status.map(|status| status.success())
    };
    let Ok(free) = flock(&test.path) else {
        println!("skipped: no flock(1)");
        return;
    };
    assert!(free);
    let guard = touch.blocking().lock_shared().unwrap();
    assert!(!flock(&test.path).unwrap());
    drop(guard);
    assert!(flock(&test.path).unwrap());
}
