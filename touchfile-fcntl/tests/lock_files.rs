//! Which files can be locked with fcntl(2) and by which users, and the effects of a child of the holder.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Uid, setfsuid};
use tempfile::tempdir;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{
    Attempt, BoxBackend, ConvertLock, Error, LockBackend, LockHandle, OpenOptions, TouchFile,
};
use touchfile_fcntl::FcntlBackend;

fn touch(path: &Path) -> TouchFile<FcntlBackend> {
    TouchFile::new(FcntlBackend::new(), path).unwrap()
}

fn bytes(path: &Path, start: u64, len: u64) -> TouchFile<FcntlBackend> {
    TouchFile::new(FcntlBackend::range(start, len).unwrap(), path).unwrap()
}

/// Calls a function without root's right to open every file.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // The user id for file systems is that of a thread (setfsuid(2)), and this thread ends at once.
    let in_thread = || {
        if Uid::effective().is_root() {
            setfsuid(Uid::from_raw(65534));
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(in_thread).join().unwrap())
}

/// A file that cannot be opened for writing can be locked shared. The refusal of an exclusive lock has a
/// hint.
fn only_shared(path: &Path) {
    let touch = touch(path);
    for error in [
        touch.blocking().lock_exclusive().unwrap_err(),
        touch.blocking().try_lock(Exclusive).unwrap_err(),
        {
            let mut guard = touch.blocking().lock_shared().unwrap();
            let error = guard.try_upgrade().unwrap_err();
            assert_eq!(guard.mode(), Shared);
            error
        },
    ] {
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        let Error::Unsupported { source, .. } = error else {
            unreachable!("that is its kind");
        };
        let why = source.to_string();
        assert!(why.contains("opened for writing"), "{why}");
        assert!(why.contains("the flock backend"), "{why}");
    }
    let both = (
        touch.blocking().lock_shared(),
        touch.blocking().lock_shared(),
    );
    assert!(both.0.is_ok() && both.1.is_ok());
}

#[test]
fn a_directory_and_the_running_executable_are_locked_shared_only() {
    let dir = tempdir().unwrap();
    only_shared(dir.path());
    only_shared(&env::current_exe().unwrap());
}

#[test]
fn a_file_without_write_permission_is_locked_shared_only_and_left_as_it_is() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(&path, "precious").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    as_nobody(|| only_shared(&path));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn what_could_not_be_removed_safely_is_refused_when_it_is_opened() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    let open = |backend: FcntlBackend| -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(backend.open(&path, &options)).map(drop)
    };
    let error = open(FcntlBackend::range(0, 1).unwrap()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(!path.exists());
    open(FcntlBackend::range(0, 0).unwrap()).unwrap(); // this is the whole file

    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let error = as_nobody(|| open(FcntlBackend::new()).unwrap_err());
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("the flock backend"), "{error}");
}

#[test]
fn ranges_without_a_byte_in_common_are_locks_of_their_own() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("table.lock");
    let (first, second) = (bytes(&path, 0, 1), bytes(&path, 1, 1));
    let (both, last) = (bytes(&path, 0, 2), bytes(&path, u64::MAX >> 1, 1));
    let held = first.blocking().lock_exclusive().unwrap();
    let other = second.blocking().lock_exclusive().unwrap();
    let far = last.blocking().lock_exclusive().unwrap();
    let busy = |touch: &TouchFile<_>, mode| touch.blocking().try_lock(mode).unwrap().is_none();
    assert!(busy(&both, Shared) && busy(&touch(&path), Shared));
    // Releasing one lock leaves the others.
    drop(held);
    assert!(busy(&both, Shared) && !busy(&first, Exclusive));
    assert!(busy(&bytes(&path, 1, 1), Shared));
    drop(other);
    assert!(!busy(&both, Exclusive) && busy(&touch(&path), Exclusive));
    assert!(
        busy(&bytes(&path, 2, 0), Exclusive),
        "to the end of the file"
    );
    drop(far);
    assert!(!busy(&touch(&path), Exclusive));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "it was written to");
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_is_listed_as_its_backend_says() {
    use touchfile_file::RawFileLock;

    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    for touch in [touch(&path), bytes(&path, 7, 3), bytes(&path, 7, 0)] {
        let guard = touch.blocking().lock_exclusive().unwrap();
        let listed = guard.handle().unwrap().raw().kernel_listing();
        let holders = touchfile_file::holders(&path).unwrap();
        let [holder] = &holders[..] else {
            panic!("one holder: {holders:?}");
        };
        let told = holder.kind.map(|kind| (kind, holder.range.clone()));
        assert_eq!(listed, told);
    }
}

#[test]
fn a_range_converts_its_own_bytes_only() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("table.lock");
    let (one, next, all) = (bytes(&path, 0, 4), bytes(&path, 4, 4), touch(&path));
    let mut guard = one.blocking().lock_exclusive().unwrap();
    let _next = next.blocking().lock_exclusive().unwrap();
    guard.downgrade().unwrap();
    assert!(
        bytes(&path, 3, 1)
            .blocking()
            .try_lock(Shared)
            .unwrap()
            .is_some()
    );
    assert!(
        bytes(&path, 4, 1)
            .blocking()
            .try_lock(Shared)
            .unwrap()
            .is_none()
    );
    assert!(all.blocking().try_lock(Shared).unwrap().is_none());
    assert!(guard.try_upgrade().unwrap());
    assert!(
        bytes(&path, 3, 1)
            .blocking()
            .try_lock(Shared)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_range_claims_no_removal_and_is_no_temporary_file() {
    let range = FcntlBackend::range(0, 8).unwrap();
    assert!(!range.capabilities().remove_on_release);
    assert!(FcntlBackend::new().capabilities().remove_on_release);
    let error = TouchFile::temporary(range).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

#[test]
fn a_failed_upgrade_keeps_the_shared_lock_and_behind_a_box_too() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch_one = TouchFile::new(BoxBackend::new(FcntlBackend::new()), &path).unwrap();
    let other = touch(&path);
    let mut guard = touch_one.blocking().lock_shared().unwrap();
    let reader = other.blocking().lock_shared().unwrap();
    assert!(!guard.try_upgrade().unwrap());
    drop(reader);
    assert!(other.blocking().try_lock(Exclusive).unwrap().is_none());
    assert!(guard.try_upgrade().unwrap());
    assert!(other.blocking().try_lock(Shared).unwrap().is_none());
    guard.downgrade().unwrap();
    assert!(other.blocking().try_lock(Shared).unwrap().is_some());
}

/// Tries what would release classic locks (fcntl(2), "Advisory record locking").
#[test]
fn closing_another_descriptor_of_the_file_releases_nothing() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (one, other) = (touch(&path), touch(&path));
    let _held = one.blocking().lock_exclusive().unwrap();
    drop(File::open(&path).unwrap());
    drop(fs::read(&path).unwrap());
    assert!(other.blocking().try_lock(Shared).unwrap().is_none());
}

#[test]
fn a_file_system_without_such_locks_is_unsupported() {
    let file = Path::new("/proc/self/comm");
    if !file.exists() {
        eprintln!("skipped: there is no /proc here");
        return;
    }
    // Any error is right, but not one that looks like contention.
    match touch(file).blocking().try_lock(Shared) {
        Ok(guard) => assert!(guard.is_some()),
        Err(error) => assert!(matches!(error, Error::Unsupported { .. }), "{error:?}"),
    }
}

#[tokio::test]
async fn a_handle_converts_only_what_it_holds() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut handle = FcntlBackend::new()
        .open(&path, &OpenOptions::new())
        .await
        .unwrap();
    let error = handle.downgrade().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(handle.try_lock(Shared).await.unwrap(), Attempt::Acquired);
    assert_eq!(handle.try_upgrade().await.unwrap(), Attempt::Acquired);
    handle.unlock().await.unwrap();
    let error = handle.try_upgrade().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn who_waits_for_other_bytes_is_no_waiter_for_these() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("table.lock");
    let (row, other, table) = (bytes(&path, 0, 10), bytes(&path, 100, 10), touch(&path));
    let held = [
        row.blocking().lock_exclusive().unwrap(),
        other.blocking().lock_exclusive().unwrap(),
    ];
    let waits = |touch: &TouchFile<FcntlBackend>| {
        let holders = touch.blocking().holders().unwrap();
        let waiting = holders.into_iter().filter(|holder| holder.waiting);
        waiting.map(|waiter| waiter.range).collect::<Vec<_>>()
    };
    let until_waiting = |touch: &TouchFile<FcntlBackend>, ranges: &[_]| {
        let started = Instant::now();
        while waits(touch) != ranges {
            assert!(started.elapsed() < Duration::from_secs(60), "{ranges:?}");
        }
    };
    let (rows, others, all) = (Some(0..=9), Some(100..=109), None);
    thread::scope(|scope| {
        // Each begins after the one before is listed.
        for (touch, expected) in [
            (bytes(&path, 100, 10), vec![others.clone()]),
            (bytes(&path, 0, 10), vec![others.clone(), rows.clone()]),
            (
                self::touch(&path),
                vec![others.clone(), rows.clone(), all.clone()],
            ),
        ] {
            scope.spawn(move || drop(touch.blocking().lock_exclusive().unwrap()));
            until_waiting(&table, &expected);
        }
        until_waiting(&row, &[rows, all.clone()]);
        until_waiting(&other, &[others, all]);
        drop(held);
    });
    assert!(waits(&table).is_empty());
}
