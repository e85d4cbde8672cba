//! `FileHandle`: what a backend on real files gets for its two system calls.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tempfile::{TempDir, tempdir};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, ConvertLock, LockHandle, LockMode, OpenOptions};
use touchfile_file::{FileHandle, RawFileConvert, RawFileLock};

#[test]
fn interrupted_calls_are_repeated() {
    let test = Test::new();
    let mut handle = test.open();
    test.will("try_lock", [interrupted(), interrupted(), Ok(())]);
    test.will("unlock", [interrupted(), interrupted(), Ok(())]);
    assert_eq!(now(handle.try_lock(Exclusive)).unwrap(), Attempt::Acquired);
    now(handle.unlock()).unwrap();
    assert_eq!(
        test.calls(),
        [
            "try_lock", "try_lock", "try_lock", "unlock", "unlock", "unlock"
        ]
    );
}

#[test]
fn a_file_system_that_refuses_is_named() {
    let test = Test::new();
    let mut handle = test.open();
    test.will("try_lock", [Err(io::ErrorKind::Unsupported.into())]);
    let error = now(handle.try_lock(Exclusive)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let name = touchfile_file::file_system_name(handle.file());
    assert!(error.to_string().contains(&*name), "{error}");
}

#[test]
fn other_errors_are_passed_on_and_nothing_is_held() {
    let test = Test::new();
    let mut handle = test.open();
    test.will("try_lock", [Err(io::Error::from_raw_os_error(37))]); // ENOLCK
    let error = now(handle.try_lock(Exclusive)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(37));
    drop(handle);
    assert_eq!(test.calls(), ["try_lock"]);
}

#[test]
fn a_dropped_handle_unlocks_before_it_closes() {
    let test = Test::new();
    let mut handle = test.open();
    assert_eq!(now(handle.try_lock(Shared)).unwrap(), Attempt::Acquired);
    drop(handle);
    assert_eq!(test.calls(), ["try_lock", "unlock"]);
}

#[test]
fn a_handle_that_holds_nothing_unlocks_nothing() {
    let test = Test::new();
    let mut handle = test.open();
    now(handle.unlock()).unwrap();
    test.will("try_lock", [busy()]);
    assert_eq!(now(handle.try_lock(Shared)).unwrap(), Attempt::WouldBlock);
    now(handle.unlock()).unwrap();
    drop(handle);
    assert_eq!(test.calls(), ["try_lock"]);
}

#[test]
fn a_handle_that_holds_a_lock_refuses_another_and_keeps_what_it_has() {
    let test = Test::new();
    let mut handle = test.open();
    assert_eq!(now(handle.try_lock(Shared)).unwrap(), Attempt::Acquired);
    for mode in [Exclusive, Shared] {
        let error = now(handle.try_lock(mode)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = now(handle.lock(mode)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(test.calls(), ["try_lock"]);
    now(handle.unlock()).unwrap();
}

#[test]
fn a_release_that_fails_is_told_and_logged_by_drop_without_a_panic() {
    let test = Test::new();
    let mut handle = test.open();
    assert_eq!(now(handle.try_lock(Exclusive)).unwrap(), Attempt::Acquired);
    test.will("unlock", [Err(io::Error::from_raw_os_error(5))]); // EIO
    let error = now(handle.unlock()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
    let mut handle = test.open();
    assert_eq!(now(handle.try_lock(Exclusive)).unwrap(), Attempt::Acquired);
    test.will("unlock", [Err(io::Error::from_raw_os_error(5))]);
    drop(handle);
}

#[test]
fn an_exclusive_holder_removes_the_file_while_it_still_holds_it() {
    let test = Test::new();
    let mut handle = test.open_removing();
    assert_eq!(now(handle.try_lock(Exclusive)).unwrap(), Attempt::Acquired);
    test.will("unlock", [Err(io::Error::from_raw_os_error(5))]);
    let error = now(handle.unlock()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
    assert!(!test.path().exists(), "it was unlocked first");
}

#[test]
fn a_shared_holder_removes_the_file_only_if_it_is_the_last() {
    let test = Test::new();
    let mut handle = test.open_removing();
    assert_eq!(now(handle.try_lock(Shared)).unwrap(), Attempt::Acquired);
    test.will("try_lock", [busy()]);
    now(handle.unlock()).unwrap();
    assert!(test.path().exists());
    assert_eq!(now(handle.try_lock(Shared)).unwrap(), Attempt::Acquired);
    drop(handle);
    assert!(!test.path().exists());
}

#[test]
fn a_file_that_was_put_in_the_place_of_the_locked_one_is_not_removed() {
    let test = Test::new();
    let mut handle = test.open_removing();
    assert_eq!(now(handle.try_lock(Exclusive)).unwrap(), Attempt::Acquired);
    let other = test.dir.path().join("other");
    fs::write(&other, "mine").unwrap();
    fs::rename(&other, test.path()).unwrap();
    now(handle.unlock()).unwrap();
    assert_eq!(fs::read(test.path()).unwrap(), b"mine");
}

#[test]
fn a_release_that_cannot_remove_the_file_unlocks_all_the_same() {
    let test = Test::new();
    let mut handle = test.open_removing();
    assert_eq!(now(handle.try_lock(Shared)).unwrap(), Attempt::Acquired);
    test.will("try_lock", [Err(io::Error::from_raw_os_error(37))]); // ENOLCK
    let error = now(handle.unlock()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(37));
    assert_eq!(test.calls(), ["try_lock", "try_lock", "unlock"]);
}

#[test]
fn what_cannot_be_removed_safely_is_refused_when_opened() {
    let test = Test::new();
    let mut options = removing();
    let error = FileHandle::open(test.raw(), test.dir.path(), &options).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    options.follow_symlinks = true;
    let error = FileHandle::open(test.raw(), &test.path(), &options).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(!test.path().exists());
}

#[test]
fn a_handle_knows_whether_its_path_still_names_its_file() {
    let test = Test::new();
    let handle = test.open();
    assert!(now(handle.is_current(&test.path())).unwrap());
    fs::remove_file(test.path()).unwrap();
    assert!(!now(handle.is_current(&test.path())).unwrap());
    // A new file can get the old one's inode number only once that is gone: the handle keeps it.
    File::create(test.path()).unwrap();
    assert!(!now(handle.is_current(&test.path())).unwrap());
}

#[test]
fn a_handle_converts_what_it_holds_and_unlocks_it_in_either_mode() {
    let test = Test::new();
    let mut handle = test.open();
    assert_eq!(now(handle.try_lock(Shared)).unwrap(), Attempt::Acquired);
    test.will("convert", [interrupted(), busy()]);
    assert_eq!(now(handle.try_upgrade()).unwrap(), Attempt::WouldBlock);
    now(handle.downgrade()).unwrap(); // it is shared still
    assert_eq!(now(handle.try_upgrade()).unwrap(), Attempt::Acquired);
    assert_eq!(now(handle.try_upgrade()).unwrap(), Attempt::Acquired); // as it is already
    test.will("convert", [Err(io::Error::from_raw_os_error(37))]); // ENOLCK
    now(handle.downgrade()).unwrap_err();
    now(handle.convertible().unwrap().downgrade()).unwrap();
    drop(handle);
    assert_eq!(
        test.calls(),
        [
            "try_lock", "convert", "convert", "convert", "convert", "convert", "unlock"
        ]
    );
}

#[test]
fn a_handle_that_holds_nothing_has_nothing_to_convert() {
    let test = Test::new();
    let mut handle = test.open();
    let error = now(handle.downgrade()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let error = now(handle.try_upgrade()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(test.calls(), [""; 0]);
}

/// A lock file, and a lock that answers as it is told to.
struct Test {
    dir: TempDir,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    calls: Vec<&'static str>,
    answers: Vec<(&'static str, io::Result<()>)>,
}

impl Test {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let script = Arc::default();
        Self { dir, script }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("a.lock")
    }

    fn raw(&self) -> Scripted {
        Scripted(self.script.clone())
    }

    fn open(&self) -> FileHandle<Scripted> {
        self.open_with(&OpenOptions::new())
    }

    fn open_removing(&self) -> FileHandle<Scripted> {
        self.open_with(&removing())
    }

    fn open_with(&self, options: &OpenOptions) -> FileHandle<Scripted> {
        FileHandle::open(self.raw(), Path::new(&self.path()), options).unwrap()
    }

    /// Says what the next calls of that name answer; those after them succeed.
    fn will(&self, call: &'static str, answers: impl IntoIterator<Item = io::Result<()>>) {
        let answers = answers.into_iter().map(|answer| (call, answer));
        self.script.lock().unwrap().answers.extend(answers);
    }

    fn calls(&self) -> Vec<&'static str> {
        self.script.lock().unwrap().calls.clone()
    }
}

#[derive(Debug)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn answer(&self, call: &'static str) -> io::Result<()> {
        let mut script = self.0.lock().unwrap();
        script.calls.push(call);
        match script.answers.iter().position(|(name, _)| *name == call) {
            Some(next) => script.answers.remove(next).1,
            None => Ok(()),
        }
    }
}

impl RawFileLock for Scripted {
    fn try_lock(&self, _: &File, _: LockMode) -> io::Result<Attempt> {
        match self.answer("try_lock") {
            Ok(()) => Ok(Attempt::Acquired),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Attempt::WouldBlock),
            Err(error) => Err(error),
        }
    }

    fn unlock(&self, _: &File) -> io::Result<()> {
        self.answer("unlock")
    }

    fn convertible(handle: &mut FileHandle<Self>) -> Option<&mut dyn ConvertLock> {
        Some(handle)
    }
}

impl RawFileConvert for Scripted {
    fn try_convert(&self, _: &File, _: LockMode) -> io::Result<Attempt> {
        match self.answer("convert") {
            Ok(()) => Ok(Attempt::Acquired),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Attempt::WouldBlock),
            Err(error) => Err(error),
        }
    }
}

fn removing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    options
}

fn interrupted() -> io::Result<()> {
    Err(io::ErrorKind::Interrupted.into())
}

fn busy() -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// The output of a future that is ready at once: nothing here waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it waits"),
    }
}
