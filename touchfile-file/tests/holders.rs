//! Who holds the locks of real files.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Error, LockKind, TouchFile};
use touchfile_file::{FileSystemKind, look_up_holders};
use touchfile_flock::FlockBackend;

/// A value and no constant: the C library of 32-bit systems writes to what it is given.
fn write_lock() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[test]
fn a_holder_is_found_however_many_locks_and_processes_come_and_go() {
    const OTHERS: usize = 150; // more than fit into a page of /proc/locks
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let held = File::create(&path).unwrap();
    fs4::FileExt::lock(&held).unwrap();
    let others: Vec<File> = (0..OTHERS)
        .map(|n| File::create(dir.path().join(n.to_string())).unwrap())
        .collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                others
                    .iter()
                    .for_each(|other| fs4::FileExt::lock(other).unwrap());
                others
                    .iter()
                    .for_each(|other| fs4::FileExt::unlock(other).unwrap());
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
                child.wait().unwrap();
            }
        });
        let looks = (0..40).map(|_| touchfile_file::holders(&path).unwrap());
        let looks: Vec<_> = looks.collect();
        done.store(true, Ordering::Relaxed);
        for holders in looks {
            // A child between fork and exec has the lock as well.
            assert!(!holders.is_empty());
            let this = holders
                .iter()
                .filter(|h| h.pid() == Some(std::process::id()));
            assert_eq!(this.count(), 1, "{holders:?}");
        }
    });
}

#[test]
fn looking_leaves_the_locks_of_this_process_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let held = File::create(&path).unwrap();
    // Closing any descriptor that was opened for more than a look would release this.
    fcntl(&held, FcntlArg::F_SETLK(&write_lock())).unwrap();
    for _ in 0..2 {
        let holders = touchfile_file::holders(&path).unwrap();
        let [holder] = &holders[..] else {
            panic!("{holders:?}")
        };
        assert_eq!(holder.kind, Some(LockKind::Posix));
        assert_eq!(holder.pid(), Some(std::process::id()));
    }
}

#[test]
fn a_file_that_is_missing_is_an_error_and_is_not_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let error = touchfile_file::holders(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(!path.exists());
}

#[tokio::test(flavor = "current_thread")]
async fn a_look_up_has_the_kinds_that_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let held = File::create(&path).unwrap();
    fs4::FileExt::lock(&held).unwrap();
    fcntl(&held, FcntlArg::F_OFD_SETLK(&write_lock())).unwrap();
    let found = |kinds| look_up_holders(&path, kinds);
    assert_eq!(found(|_| &[LockKind::Flock]).await.unwrap().len(), 1);
    assert_eq!(
        found(|_| &[LockKind::Ofd, LockKind::Posix])
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(found(|_| &[LockKind::Posix]).await.unwrap().len(), 0);
    assert_eq!(
        found(|_| &[LockKind::Flock, LockKind::Ofd])
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        found(|here| {
            assert_eq!(here.kind(), FileSystemKind::Local);
            &[]
        })
        .await
        .unwrap(),
        []
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_timeout_names_the_process_that_holds_a_real_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let held = File::create(&path).unwrap();
    fs4::FileExt::lock(&held).unwrap();
    let touch = TouchFile::new(FlockBackend::new(), &path).unwrap();
    // On a busy machine it may take too long to find out, and then it is not said.
    for _ in 0..60 {
        let wait = touch.lock_timeout(Exclusive, Duration::from_millis(600));
        let error = wait.await.unwrap_err();
        let message = error.to_string();
        let Error::Timeout { holders, .. } = error else {
            panic!("{error:?}")
        };
        if let [holder] = &holders[..]
            && holder.seen_for.is_some()
        {
            let name = format!(", held by this process, pid {} (", std::process::id());
            assert!(message.contains(&name), "{message}");
            assert!(message.ends_with("ms"), "{message}");
            return;
        }
    }
    panic!("the holder was never named");
}

#[test]
fn every_file_that_is_locked_is_listed_with_its_holders() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let touch = |name: &str| TouchFile::new(FlockBackend::new(), dir.join(name)).unwrap();
    let (one, other, free) = (touch("one"), touch("other"), touch("free"));
    let _one = one.blocking().lock_exclusive().unwrap();
    let _other = other.blocking().lock_shared().unwrap();
    drop(free.blocking().lock_exclusive().unwrap());
    let listed = touchfile_file::locked_files().unwrap();
    let of = |touch: &TouchFile<FlockBackend>| {
        let mut listed = listed.iter();
        listed.find(|file| file.path.as_deref() == Some(touch.path()))
    };
    for touch in [&one, &other] {
        let holders = &of(touch).unwrap().holders;
        assert_eq!(holders.len(), 1, "{holders:?}");
        assert_eq!(holders[0].pid(), Some(std::process::id()));
        assert_eq!(holders[0].kind, Some(LockKind::Flock));
    }
    assert!(of(&free).is_none());
}
