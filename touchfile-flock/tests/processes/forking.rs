//! Law 6: a forked child does not change the lock of its parent.

use std::future::Future;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use fork::{Fork, fork, waitpid};
use libtest_mimic::Trial;
use tempfile::tempdir;
use touchfile_core::{LockMode, TouchFile};
use touchfile_flock::FlockBackend;

use crate::trial;
use crate::worker::{Held, Touch, Worker, say};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_child_that_drops_its_copy_of_a_guard_releases_nothing",
            child_drops,
        ),
        trial(
            "a_child_that_unlocks_its_copy_of_a_guard_releases_nothing",
            child_unlocks,
        ),
        trial(
            "a_child_is_excluded_by_its_parent_though_it_has_its_handles",
            child_tries,
        ),
        trial(
            "a_child_that_is_still_there_does_not_prolong_the_lock",
            child_outlives,
        ),
        trial(
            "a_child_leaves_its_parents_temporary_file_alone",
            child_has_a_temporary,
        ),
        trial(
            "a_child_does_not_lock_a_file_that_its_parent_was_given_open",
            child_has_an_open_file,
        ),
        trial(
            "a_child_gives_up_at_its_deadline_though_its_parents_timer_is_not_there",
            child_waits,
        ),
        trial(
            "children_between_fork_and_exec_do_not_prolong_the_lock",
            storm,
        ),
        trial(
            "a_program_that_was_executed_does_not_inherit_the_lock",
            exec,
        ),
    ]
}

fn child_drops() {
    child_leaves_the_lock_alone("fork-and-drop");
}

fn child_unlocks() {
    child_leaves_the_lock_alone("fork-and-unlock");
}

fn child_leaves_the_lock_alone(command: &str) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut parent, mut other) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(parent.ask("lock exclusive"), "held");
    assert_eq!(parent.ask(command), "child ended well");
    assert_eq!(other.ask("try exclusive"), "busy");
    assert_eq!(parent.ask("unlock"), "released");
    assert_eq!(other.ask("try exclusive"), "held");
}

fn child_tries() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut parent = Worker::new(&path);
    // The child could reuse an idle handle.
    assert_eq!(parent.ask("lock exclusive"), "held");
    assert_eq!(parent.ask("unlock"), "released");
    assert_eq!(parent.ask("fork-and-try"), "child was excluded");
}

fn child_outlives() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut parent = Worker::with_role("fork", &path);
    assert_eq!(parent.answer(), "released while the child lives");
    let mut other = Worker::new(&path);
    assert_eq!(other.ask("try exclusive"), "held");
}

fn child_has_a_temporary() {
    let dir = tempdir().unwrap();
    let mut parent = Worker::new(&dir.path().join("a.lock"));
    assert_eq!(parent.ask("fork-with-a-temporary"), "child ended well");
}

fn child_has_an_open_file() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut parent, mut other) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(parent.ask("fork-with-an-open-file"), "child ended well");
    assert_eq!(other.ask("try exclusive"), "busy");
}

fn child_waits() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut holder, mut parent) = (Worker::new(&path), Worker::new(&path));
    assert_eq!(holder.ask("lock exclusive"), "held");
    assert_eq!(parent.ask("fork-and-wait"), "child ended well");
}

fn storm() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut parent, mut other) = (Worker::new(&path), Worker::new(&path));
    for round in 0..100 {
        assert_eq!(parent.ask("lock-in-a-storm"), "released");
        assert_eq!(other.ask("try exclusive"), "held", "in round {round}");
        assert_eq!(other.ask("unlock"), "released");
    }
}

fn exec() {
    let dir = tempdir().unwrap();
    let touch = Touch::new(FlockBackend::new(), dir.path().join("a.lock")).unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    // Other tests open descriptors at the same time, so only those of this test are counted.
    let listing = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .unwrap();
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    assert!(!listing.contains("a.lock"), "{listing}");
    drop(guard);
}

pub(crate) fn fork_and_drop(guard: &mut Option<Held>) -> &'static str {
    in_child(|| {
        drop(guard.take());
        true
    })
}

pub(crate) fn fork_and_unlock(guard: &mut Option<Held>) -> &'static str {
    in_child(|| guard.take().is_some_and(|guard| guard.unlock().is_ok()))
}

pub(crate) fn fork_with_a_temporary() -> &'static str {
    let temporary = Touch::temporary(FlockBackend::new()).expect("a temporary file");
    let path = temporary.path().to_owned();
    let mut temporary = Some(temporary);
    let answer = in_child(|| {
        drop(temporary.take());
        path.exists()
    });
    assert!(path.exists(), "the child removed it");
    drop(temporary);
    assert!(!path.exists());
    answer
}

/// Locks a file that is open already, which the lock of this worker is on, and leaves it locked.
pub(crate) fn fork_with_an_open_file(path: &Path) -> &'static str {
    let file = std::fs::File::create(path).expect("a file");
    let touch = TouchFile::from_file(FlockBackend::new(), file).expect("a touch file");
    let touch = Arc::new(touch);
    let mut guard = Some(
        touch
            .clone()
            .blocking_owned()
            .lock_shared()
            .expect("a lock"),
    );
    let answer = in_child(|| {
        // The handle of the guard is idle then, and is to be refused as a new one is.
        drop(guard.take());
        let attempts = [(); 2].map(|()| touch.blocking().try_lock(LockMode::Exclusive));
        let refused = |attempt| matches!(attempt, Err(touchfile_core::Error::Unsupported { .. }));
        attempts.into_iter().all(refused)
    });
    std::mem::forget(guard);
    answer
}

/// Waits for a held lock in another executor than tokio, first with the timer thread of the parent and
/// then in a child, which has none.
pub(crate) fn fork_and_wait(touch: &Touch) -> &'static str {
    let gives_up = || {
        let lock = touch.lock_timeout(LockMode::Exclusive, Duration::from_millis(10));
        block_on(lock).is_err_and(|error| error.is_timeout())
    };
    assert!(gives_up());
    in_child(gives_up)
}

/// A minimal executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

pub(crate) fn fork_and_try(touch: &Arc<Touch>) -> &'static str {
    // The child is forked while the handle is idle. Then the parent locks, and the child tries.
    let (mut reader, writer) = UnixStream::pair().expect("a pair of sockets");
    match fork().expect("a child") {
        Fork::Child => {
            drop(writer);
            // The stream ends when the parent holds the lock.
            std::io::copy(&mut reader, &mut std::io::sink()).expect("the end of the stream");
            let excluded = touch
                .blocking()
                .try_lock(LockMode::Exclusive)
                .expect("an attempt");
            std::process::exit(i32::from(excluded.is_some()));
        }
        Fork::Parent(child) => {
            drop(reader);
            let guard = touch.blocking().lock_exclusive().expect("a lock");
            drop(writer);
            let excluded = ended_well(child);
            drop(guard);
            if excluded {
                "child was excluded"
            } else {
                "child got in"
            }
        }
    }
}

pub(crate) fn fork_while_holding(path: &Path) {
    let touch = TouchFile::new(FlockBackend::new(), path).expect("a touch file");
    let guard = touch.blocking().lock_exclusive().expect("a lock");
    match fork().expect("a child") {
        Fork::Child => {
            // The child keeps its copy of the descriptor until the end of the test.
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("standard input");
            std::mem::forget(guard);
        }
        Fork::Parent(child) => {
            drop(guard);
            say("released while the child lives");
            ended_well(child);
        }
    }
}

pub(crate) fn lock_and_unlock_in_a_storm(touch: &Touch) -> &'static str {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // With a user id std uses fork and exec in place of posix_spawn. Between them the
                    // child has a copy of each descriptor for longer.
                    let uid = rustix::process::getuid().as_raw();
                    Command::new("true").uid(uid).status().expect("true(1)");
                }
            });
        }
        for _ in 0..20 {
            touch
                .blocking()
                .lock_exclusive()
                .expect("a lock")
                .unlock()
                .expect("a release");
        }
        let guard = touch.blocking().lock_exclusive().expect("a lock");
        drop(guard);
        stop.store(true, Ordering::Relaxed);
    });
    "released"
}

fn in_child(work: impl FnOnce() -> bool) -> &'static str {
    match fork().expect("a child") {
        Fork::Child => std::process::exit(i32::from(!work())),
        Fork::Parent(child) if ended_well(child) => "child ended well",
        Fork::Parent(_) => "child failed",
    }
}

fn ended_well(child: i32) -> bool {
    waitpid(child).is_ok_and(|status| status == 0)
}
