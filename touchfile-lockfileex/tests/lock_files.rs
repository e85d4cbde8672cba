//! Lock files as Windows has them: what can be one, whom a lock keeps out, how one is removed.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fs4::FileExt;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, Error, LockBackend, LockHandle, OpenOptions, Result, TouchFile};
use touchfile_lockfileex::LockFileExBackend;

fn touch(path: &Path) -> Result<TouchFile<LockFileExBackend>> {
    TouchFile::new(LockFileExBackend::new(), path)
}

fn is_locked(path: &Path) -> bool {
    let guard = touch(path)
        .unwrap()
        .blocking()
        .try_lock(Exclusive)
        .map(|guard| guard.is_none());
    guard.unwrap()
}

#[allow(clippy::permissions_set_readonly_false, reason = "this is Windows")]
fn set_read_only(path: &Path, read_only: bool) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(read_only);
    fs::set_permissions(path, permissions).unwrap();
}

fn why_refused(path: &Path) -> String {
    let refused = touch(path).and_then(|touch| touch.blocking().lock(Exclusive).map(drop));
    match refused.unwrap_err() {
        Error::InvalidPath { reason, .. } => reason.into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lock_excludes_programs_that_lock_the_whole_file_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = touch(&path).unwrap();
    let guard = touch.blocking().lock(Exclusive).unwrap();
    let other = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    assert!(FileExt::try_lock_shared(&other).is_err());
    guard.unlock().unwrap();
    FileExt::try_lock(&other).unwrap();
    assert!(touch.blocking().try_lock(Shared).unwrap().is_none());
    FileExt::unlock(&other).unwrap();
    assert!(touch.blocking().try_lock(Shared).unwrap().is_some());
}

#[test]
fn the_whole_file_is_locked_against_those_who_lock_its_first_byte_if_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let far = touch(&path).unwrap();
    let whole = TouchFile::new(LockFileExBackend::whole_file(), &path).unwrap();
    for (one, other) in [(&far, &whole), (&whole, &far)] {
        let guard = one.blocking().lock(Exclusive).unwrap();
        assert!(other.blocking().try_lock(Shared).unwrap().is_none());
        guard.unlock().unwrap();
    }
}

#[test]
fn what_a_lock_file_says_can_be_read_while_it_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(&path, "held by me").unwrap();
    let touch = touch(&path).unwrap();
    let _guard = touch.blocking().lock(Exclusive).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "held by me");
}

#[test]
fn a_directory_and_a_device_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let why = why_refused(dir.path());
    assert!(why.contains("directory"), "{why}");
    for name in ["NUL", "COM1", "con"] {
        let why = why_refused(&dir.path().join(name));
        assert!(why.contains("device"), "{name}: {why}");
    }
    let why = why_refused(Path::new(r"\\.\pipe\touchfile-test"));
    assert!(why.contains("device"), "{why}");
    let why = why_refused(Path::new(r"\\localhost\pipe\touchfile-test"));
    assert!(why.contains("pipe"), "{why}");
    let why = why_refused(&dir.path().join("missing").join("a.lock"));
    assert!(why.contains("create it first"), "{why}");
}

#[test]
fn permission_bits_are_refused_and_not_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = TouchFile::builder(LockFileExBackend::new())
        .create_mode(0o600)
        .path(&path)
        .build()
        .unwrap();
    let error = touch.blocking().lock(Exclusive).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_read_only_can_be_locked_exclusively() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(&path, "").unwrap();
    set_read_only(&path, true);
    let touch = touch(&path).unwrap();
    let guard = touch.blocking().lock(Exclusive).unwrap();
    assert!(is_locked(&path));
    drop(guard);
    assert!(!is_locked(&path));
    set_read_only(&path, false);
}

#[test]
fn a_file_that_is_shared_with_nobody_is_an_error_that_may_pass() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let alone = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(0)
        .open(&path)
        .unwrap();
    let touch = touch(&path).unwrap();
    let error = touch.blocking().lock(Exclusive).unwrap_err();
    assert!(matches!(error, Error::Transient { .. }), "{error:?}");
    drop(alone);
    drop(touch.blocking().lock(Exclusive).unwrap());
}

#[test]
fn long_and_verbatim_paths_name_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut deep = dir.path().to_owned();
    while deep.as_os_str().len() < 300 {
        deep.push("a-directory-with-a-long-name");
    }
    fs::create_dir_all(&deep).unwrap();
    let path = deep.join("a.lock");
    let touch = touch(&path).unwrap();
    let _guard = touch.blocking().lock(Exclusive).unwrap();
    assert!(is_locked(&path));
    let verbatim = format!(r"\\?\{}", path.display());
    assert!(is_locked(Path::new(&verbatim)));
}

#[test]
fn a_removed_file_is_noticed_and_its_name_can_be_locked_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    for mode in [Exclusive, Shared] {
        let touch = TouchFile::builder(LockFileExBackend::new())
            .remove_on_release(true)
            .path(&path)
            .build()
            .unwrap();
        let guard = touch.blocking().lock(mode).unwrap();
        assert!(path.exists());
        guard.unlock().unwrap();
        assert!(!path.exists(), "after a {mode} lock");
    }
    let touch = touch(&path).unwrap();
    let guard = touch.blocking().lock(Exclusive).unwrap();
    guard.verify().unwrap();
    fs::rename(&path, dir.path().join("other")).unwrap();
    fs::write(&path, "").unwrap();
    assert!(matches!(guard.verify().unwrap_err(), Error::Lost { .. }));
    assert!(!is_locked(&path));
}

/// Windows 10 1809 and later remove a read-only file, others do not.
#[test]
fn a_read_only_file_is_removed_on_release_or_stays_and_that_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(&path, "").unwrap();
    set_read_only(&path, true);
    let touch = TouchFile::builder(LockFileExBackend::new())
        .remove_on_release(true)
        .path(&path)
        .build()
        .unwrap();
    let guard = touch.blocking().lock(Exclusive).unwrap();
    let released = guard.unlock();
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    if let Err(error) = released {
        assert!(path.exists(), "{names:?}");
        println!("it stays: {error}");
        set_read_only(&path, false);
    } else {
        assert!(names.is_empty(), "{names:?}");
    }
}

#[test]
fn who_holds_a_shared_lock_beside_others_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = || {
        TouchFile::builder(LockFileExBackend::new())
            .remove_on_release(true)
            .path(&path)
            .build()
            .unwrap()
    };
    let (one, other) = (touch(), touch());
    let first = one.blocking().lock(Shared).unwrap();
    let last = other.blocking().lock(Shared).unwrap();
    first.unlock().unwrap();
    assert!(path.exists());
    last.unlock().unwrap();
    assert!(!path.exists());
}

/// Windows frees the name at once, or refuses all who open it until nobody has the file open. Wine lets
/// them open the same file until then. Whichever it is, nobody gets a second lock by that name.
#[tokio::test]
async fn a_removed_file_that_is_still_open_is_not_locked_twice_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let backend = LockFileExBackend::new();
    let mut handle = backend.open(&path, &OpenOptions::new()).await.unwrap();
    handle.lock(Exclusive).await.unwrap();
    assert!(handle.is_current(&path).await.unwrap());
    fs::remove_file(&path).unwrap();
    let is_current = handle.is_current(&path).await.unwrap();
    match backend.open(&path, &OpenOptions::new()).await {
        Ok(mut other) => {
            let attempt = other.try_lock(Exclusive).await.unwrap();
            assert_eq!(attempt == Attempt::WouldBlock, is_current);
        }
        Err(error) => {
            assert!(!is_current);
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(error.to_string().contains("was removed"), "{error}");
        }
    }
    drop(handle);
    backend.open(&path, &OpenOptions::new()).await.unwrap();
}

/// A name that this test program knows itself by when it is a child.
const CHILD: &str = "TOUCHFILE_TEST_CHILD";

#[test]
fn a_child_inherits_no_handle() {
    if std::env::var_os(CHILD).is_some() {
        std::thread::sleep(Duration::from_secs(60));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let file = touch(&path).unwrap();
    let guard = file.blocking().lock(Exclusive).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_inherits_no_handle"])
        .env(CHILD, "1")
        .spawn()
        .unwrap();
    drop(guard);
    drop(file);
    // Somebody who has it open and shares it would be in the way of this.
    let mut alone = fs::OpenOptions::new();
    let opened: io::Result<File> = alone.write(true).share_mode(0).open(&path);
    child.kill().unwrap();
    child.wait().unwrap();
    opened.unwrap();
}

#[test]
fn a_local_file_is_locked_on_this_host_or_it_is_not_known() {
    use touchfile_core::Guarantee;

    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("a.lock");
    let worth = LockFileExBackend::new().guarantee(&path).unwrap();
    assert!(
        matches!(worth, Guarantee::HostLocal | Guarantee::Unknown),
        "{worth:?}"
    );
    println!("{worth:?}");
}
