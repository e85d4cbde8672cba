//! Which files can be locked with flock(2), and the error of a file system without it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::tempdir;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::TouchFile;
use touchfile_flock::FlockBackend;

#[test]
fn a_read_only_file_can_be_locked_in_both_modes_and_is_left_as_it_is() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(&path, "precious").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    locks_in_both_modes(&path);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_is_listed_as_its_backend_says() {
    use touchfile_file::RawFileLock;

    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = TouchFile::new(FlockBackend::new(), &path).unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    let listed = guard.handle().unwrap().raw().kernel_listing();
    let holders = touchfile_file::holders(&path).unwrap();
    let told = holders[0].kind.map(|kind| (kind, holders[0].range.clone()));
    assert_eq!(listed, told);
}

#[test]
fn a_directory_can_be_locked_in_both_modes() {
    let dir = tempdir().unwrap();
    locks_in_both_modes(dir.path());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_running_executable_can_be_locked_in_both_modes() {
    locks_in_both_modes(&env::current_exe().unwrap());
}

#[test]
fn a_file_with_two_names_is_one_lock() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    File::create(&path).unwrap();
    let link = dir.path().join("b.lock");
    fs::hard_link(&path, &link).unwrap();
    let one = TouchFile::new(FlockBackend::new(), &path).unwrap();
    let other = TouchFile::new(FlockBackend::new(), &link).unwrap();
    let _held = one.blocking().lock_exclusive().unwrap();
    assert!(other.blocking().try_lock(Shared).unwrap().is_none());
}

fn locks_in_both_modes(path: &Path) {
    let one = TouchFile::new(FlockBackend::new(), path).unwrap();
    let other = TouchFile::new(FlockBackend::new(), path).unwrap();
    let held = one.blocking().lock(Exclusive).unwrap();
    assert!(other.blocking().try_lock(Shared).unwrap().is_none());
    held.unlock().unwrap();
    let held = one.blocking().lock(Shared).unwrap();
    assert!(other.blocking().try_lock(Exclusive).unwrap().is_none());
    let also = other.blocking().lock(Shared).unwrap();
    drop((held, also));
}
