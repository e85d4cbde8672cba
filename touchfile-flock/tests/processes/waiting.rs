//! Law 8: waiters get the lock in turn, with any kind of holder and without the help of the system.

use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use libtest_mimic::Trial;
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};
use touchfile_core::{LockMode, TouchFile};
use touchfile_file::QueuePlace;
use touchfile_flock::FlockBackend;

use crate::cancelling::has_inotify;
use crate::worker::{Touch, Worker, belongings, commands, has_no_more_than, say, wait_until};
use crate::{trial, trial_with};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_foreign_holder_that_unlocks_and_keeps_its_file_open_is_noticed",
            foreign,
        ),
        trial(
            "a_queue_is_entered_also_after_others_have_taken_long_to_form_one",
            crowded,
        ),
        trial("processes_are_served_in_the_order_they_came", in_order),
        trial(
            "a_process_that_locks_again_at_once_goes_behind_those_who_wait",
            goes_behind,
        ),
        trial(
            "a_stopped_process_at_the_head_of_the_line_keeps_nobody_from_the_lock",
            stopped,
        ),
        trial_with(
            "strace",
            "whoever_looks_whether_the_lock_is_free_does_not_take_it_for_that",
            looks,
        ),
        trial(
            "when_the_head_of_the_line_is_killed_the_others_go_on",
            killed,
        ),
        trial("a_directory_is_waited_for", directory),
        trial(
            "hundreds_of_short_lived_runtimes_wait_and_leave_nothing",
            runtimes,
        ),
        trial(
            "a_runtime_without_a_reactor_and_a_foreign_executor_wait",
            without_a_reactor,
        ),
        trial_with(
            "strace",
            "whatever_the_system_refuses_who_waits_gets_the_lock",
            refusals,
        ),
    ]
}

fn foreign() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let file = File::create(&path).unwrap();
    let mut waiter = Worker::new(&path);
    for _ in 0..20 {
        fs4::FileExt::lock(&file).unwrap();
        waiter.send("lock exclusive");
        wait_until("the waiter is in the queue", || waiter.is_in_queue());
        fs4::FileExt::unlock(&file).unwrap(); // this causes no event, since the file stays open
        assert_eq!(waiter.answer(), "held");
        assert_eq!(waiter.ask("unlock"), "released");
    }
}

/// Whoever forms a queue has the directory of all queues locked for a moment, which can be long on a busy
/// machine.
fn crowded() {
    let QueuePlace::Directory(queues) = QueuePlace::of(None).unwrap() else {
        return; // the kernel forms queues at once
    };
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let file = File::create(&path).unwrap();
    fs4::FileExt::lock(&file).unwrap();
    // On a very busy machine, this process may not let others in before the waiter has lost its patience.
    let enters = |_| {
        let forming = File::open(&queues).unwrap();
        fs4::FileExt::lock(&forming).unwrap();
        let mut waiter = Worker::new(&path);
        waiter.send("lock exclusive");
        wait_until("the waiter has found the queues", || {
            waiter.has_open(&queues)
        });
        thread::sleep(Duration::from_millis(80)); // it has tried, and not lost its patience
        fs4::FileExt::unlock(&forming).unwrap();
        (0..1_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            waiter.is_in_queue()
        })
    };
    assert!((0..5).any(enters), "it enters no queue");
}

/// Workers that wait for the lock in their order, while the first holds it.
fn line_of(length: usize, path: &Path) -> (Worker, Vec<Worker>) {
    let mut holder = Worker::new(path);
    assert_eq!(holder.ask("lock exclusive"), "held");
    let mut line: Vec<Worker> = (0..length).map(|_| Worker::new(path)).collect();
    for worker in &mut line {
        worker.send("lock exclusive");
        wait_until("it is in the queue", || worker.is_in_queue());
    }
    (holder, line)
}

fn in_order() {
    let dir = tempdir().unwrap();
    let (mut last, line) = line_of(6, &dir.path().join("a.lock"));
    for mut next in line {
        assert_eq!(last.ask("unlock"), "released");
        assert_eq!(next.answer(), "held");
        last = next;
    }
}

fn goes_behind() {
    let dir = tempdir().unwrap();
    let (mut holder, line) = line_of(3, &dir.path().join("a.lock"));
    assert_eq!(holder.ask("unlock"), "released");
    holder.send("lock exclusive");
    for mut next in line {
        assert_eq!(next.answer(), "held");
        assert_eq!(next.ask("unlock"), "released");
    }
    assert_eq!(holder.answer(), "held");
}

fn stopped() {
    let dir = tempdir().unwrap();
    let (mut holder, mut line) = line_of(3, &dir.path().join("a.lock"));
    line[0].stop();
    assert_eq!(holder.ask("unlock"), "released");
    let mut rest = line.split_off(1);
    while !rest.is_empty() {
        let first = crate::worker::first_answer(&mut rest);
        assert_eq!(rest.remove(first).ask("unlock"), "released");
    }
    line[0].resume();
    assert_eq!(line[0].answer(), "held");
}

/// Who stands behind a head that is stopped finds the lock free, and takes it only a second later. Its calls
/// take long to return, so that a lock which is let go of again would be seen.
fn looks() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let (mut holder, line) = line_of(1, &path);
    let slow = "inject=flock:delay_exit=200000";
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", slow];
    let mut follower = Worker::under(&strace, "execute commands", &path);
    follower.send("lock exclusive");
    wait_until("it is about to wait", || follower.has_open(&path));
    line[0].stop();
    assert_eq!(holder.ask("unlock"), "released");
    holder.finish();
    let is_held = || {
        let holders = touchfile_file::holders(&path).unwrap();
        holders.iter().any(|holder| !holder.waiting)
    };
    wait_until("the follower takes the lock", is_held);
    for _ in 0..150 {
        assert!(is_held(), "it was taken only to look");
        thread::sleep(Duration::from_millis(4));
    }
    assert_eq!(follower.answer(), "held");
    line[0].resume();
}

fn killed() {
    let dir = tempdir().unwrap();
    let (mut holder, mut line) = line_of(4, &dir.path().join("a.lock"));
    line[0].kill();
    assert_eq!(holder.ask("unlock"), "released");
    let mut rest = line.split_off(1);
    for _ in 0..3 {
        let first = crate::worker::first_answer(&mut rest);
        // It is not unlocked: the holder is killed, and it is also the head of the queue.
        rest.remove(first).kill();
    }
}

fn directory() {
    let dir = tempdir().unwrap();
    let (mut a, mut b) = (Worker::new(dir.path()), Worker::new(dir.path()));
    assert_eq!(a.ask("lock exclusive"), "held");
    b.send("lock exclusive");
    wait_until("the waiter is in the queue", || b.is_in_queue());
    assert_eq!(a.ask("unlock"), "released");
    assert_eq!(b.answer(), "held");
}

fn runtimes() {
    let dir = tempdir().unwrap();
    let mut worker = Worker::with_role("runtimes", &dir.path().join("a.lock"));
    assert_eq!(worker.answer(), "nothing left");
    worker.finish();
}

fn touch_at(path: &Path) -> Touch {
    TouchFile::new(FlockBackend::new(), path).expect("a touch file")
}

/// Waits in one runtime after another, and in two at once, of which one is shut down.
pub(crate) fn wait_in_many_runtimes(path: &Path) {
    let (one, other) = (touch_at(path), touch_at(path));
    let (stays, path) = (runtime(), path.with_extension("other"));
    let (third, fourth) = (touch_at(&path), touch_at(&path));
    let mut before = None;
    for _ in 0..300 {
        let short_lived = runtime();
        short_lived.block_on(wait_and_get(&one, &other));
        // This runtime is shut down while a task waits in it, and a wait in another runtime goes on.
        let held = third.blocking().lock_exclusive().expect("a lock");
        let waits = Arc::new(touch_at(&path));
        short_lived.spawn(async move { waits.lock_exclusive().await.map(drop) });
        short_lived.block_on(tokio::task::yield_now());
        stays.block_on(async {
            let mut wait = pin!(fourth.lock_exclusive());
            assert!(poll_for_a_while(wait.as_mut()).await.is_none(), "held");
            short_lived.shutdown_background();
            drop(held);
            wait.await
                .expect("a lock")
                .unlock()
                .await
                .expect("a release");
        });
        if before.is_none() && has_inotify() {
            before = Some(belongings());
        }
    }
    if before.as_ref().is_some_and(has_no_more_than) {
        say("nothing left");
    } else {
        say(&format!("before: {before:?}, after: {:?}", belongings()));
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

async fn wait_and_get(one: &Touch, other: &Touch) {
    let held = one.lock_exclusive().await.expect("a lock");
    let mut wait = pin!(other.lock(LockMode::Shared));
    assert!(poll_for_a_while(wait.as_mut()).await.is_none(), "held");
    held.unlock().await.expect("a release");
    drop(wait.await.expect("a lock"));
}

/// Polls until the wait has made its attempts, and returns its output if it has ended.
async fn poll_for_a_while<F: Future>(mut wait: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let started = std::time::Instant::now();
    while started.elapsed().as_micros() < 1_000 {
        let polled = std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

fn without_a_reactor() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut holder = Worker::new(&path);
    let mut waiter = Worker::with_role("wait without a reactor", &path);
    for _ in 0..2 {
        assert_eq!(waiter.answer(), "ready");
        assert_eq!(holder.ask("lock exclusive"), "held");
        waiter.send("wait");
        wait_until("the waiter is in the queue", || waiter.is_in_queue());
        assert_eq!(holder.ask("unlock"), "released");
        assert_eq!(waiter.answer(), "held");
    }
    waiter.finish();
}

/// Waits in a runtime with a timer only, and without any runtime.
pub(crate) fn wait_without_a_reactor(path: &Path) {
    let touch = touch_at(path);
    let mut orders = commands();
    let mut wait = |wait: &dyn Fn()| {
        say("ready");
        orders.next().expect("an order");
        wait();
        say("held");
    };
    let with_timer = Builder::new_current_thread().enable_time().build();
    let with_timer = with_timer.expect("a runtime");
    wait(&|| drop(with_timer.block_on(touch.lock_exclusive()).expect("a lock")));
    wait(&|| drop(block_on(touch.lock_exclusive()).expect("a lock")));
}

/// A minimal executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

fn refusals() {
    let dir = tempdir().unwrap();
    for (number, refusal) in [
        "fstatfs:error=EPERM",
        "fstatfs:error=ENOSYS",
        "inotify_init1:error=EMFILE",
        "inotify_add_watch:error=ENOSPC",
        "epoll_create1:error=ENOSYS",
        "epoll_ctl:error=EPERM",
        "socket:error=EACCES",
        "bind:error=EACCES",
        "listen:error=EPERM",
        "connect:error=EAGAIN",
        "accept4:error=EMFILE",
        "sendmsg:error=EPERM",
        "recvmsg:error=EPERM",
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(number.to_string());
        let inject = format!("inject={refusal}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
        let mut workers: Vec<_> = (0..3)
            .map(|_| Worker::under(&strace, "execute commands", &path))
            .collect();
        let mut free = Worker::new(&path);
        assert_eq!(free.ask("lock exclusive"), "held");
        for worker in &mut workers {
            worker.send("lock exclusive");
        }
        for worker in &workers {
            wait_until("it is about to wait", || worker.has_open(&path));
        }
        assert_eq!(free.ask("unlock"), "released", "{refusal}");
        for _ in 0..3 {
            let first = crate::worker::first_answer(&mut workers);
            let mut first = workers.remove(first);
            assert_eq!(first.ask("unlock"), "released", "{refusal}");
            first.finish();
        }
        assert_eq!(free.ask("lock exclusive"), "held", "{refusal}");
    }
}
