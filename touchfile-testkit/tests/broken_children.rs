//! The broken backends whose fault shows in a child.
//!
//! A forked child has copies of all descriptors of the process, and so of all locks that other tests hold
//! at that moment. So this is a program of its own, with one test.
#![cfg(feature = "broken")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Attempt, BoxBackend, LockBackend, LockHandle, OpenOptions};
use touchfile_testkit::broken;

#[test]
fn children_release_prolong_and_inherit() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        child_releases_its_parents_lock(&dir.path().join("a.lock")).await;
        child_prolongs_its_parents_lock(&dir.path().join("b.lock")).await;
        not_close_on_exec_leaves_the_file_open(&dir.path().join("c.lock")).await;
    });
}

async fn child_releases_its_parents_lock(path: &Path) {
    let backend = broken::child_releases(path);
    let (mut a, mut b) = (open(&backend, path).await, open(&backend, path).await);
    assert!(acquires(&mut a).await);
    assert!(!acquires(&mut b).await);
    let mut copy = Some(a);
    let child = Child::new(|| drop(copy.take()));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !acquires(&mut b).await {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(child);
    assert!(copy.is_some(), "the parent never dropped it");
}

async fn child_prolongs_its_parents_lock(path: &Path) {
    let backend = broken::child_prolongs(path);
    let (mut a, mut b) = (open(&backend, path).await, open(&backend, path).await);
    assert!(acquires(&mut a).await);
    let child = Child::new(|| {});
    a.unlock().await.unwrap();
    assert!(!acquires(&mut b).await);
    drop(child);
    assert!(acquires(&mut b).await);
}

async fn not_close_on_exec_leaves_the_file_open(path: &Path) {
    let backend = broken::not_close_on_exec(path);
    let _handle = open(&backend, path).await;
    let listed = Command::new("ls").args(["-l", "/proc/self/fd"]).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.contains("c.lock"), "{listed}");
}

async fn open(backend: &BoxBackend, path: &Path) -> Box<dyn LockHandle> {
    backend.open(path, &OpenOptions::new()).await.unwrap()
}

async fn acquires(handle: &mut Box<dyn LockHandle>) -> bool {
    handle.try_lock(Exclusive).await.unwrap() == Attempt::Acquired
}

/// A forked child that calls a function and then waits. It is killed when this is dropped.
struct Child(Pid);

impl Child {
    fn new(work: impl FnOnce()) -> Self {
        match fork().unwrap() {
            Fork::Parent(pid) => Self(Pid::from_raw(pid).unwrap()),
            Fork::Child => {
                work();
                loop {
                    std::thread::park();
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        kill_process(self.0, Signal::KILL).unwrap();
        waitpid(Some(self.0), WaitOptions::empty()).unwrap();
    }
}
