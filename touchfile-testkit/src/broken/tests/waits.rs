//! Faults of waits.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::flock::FlockBackend;
use crate::handles::poll_once;
use tokio::time::timeout;
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{LockBackend, LockHandle, OpenOptions};

use super::{Handle, Setup, acquires, block_on};

const SHORT: Duration = Duration::from_millis(20);

/// Polls a wait at least once and gives it up.
async fn give_up(handle: &mut Handle) {
    assert!(timeout(SHORT, handle.lock(Exclusive)).await.is_err());
}

#[test]
fn takes_it_later_than_anybody_wants() {
    let setup = Setup::new("takes-it-later");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        give_up(&mut b).await;
        a.unlock().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while acquires(&mut a, Exclusive).await {
            a.unlock().await.unwrap();
            assert!(Instant::now() < deadline);
        }
    });
}

#[test]
fn leaks_a_descriptor_or_a_thread_for_each_wait() {
    // The threads that it starts have its name.
    let named = thread::Builder::new().name("leaks".into());
    named.spawn(leaks).unwrap().join().unwrap();
}

fn leaks() {
    const WAITS: usize = 40;
    type Count = fn() -> usize;
    let counts: [(&str, Count); 2] = [
        ("leaks-a-descriptor", open_null),
        ("leaks-a-thread", threads_like_this),
    ];
    for (name, count) in counts {
        let setup = Setup::new(name);
        block_on(async {
            let (mut a, mut b) = (setup.open().await, setup.open().await);
            assert!(acquires(&mut a, Exclusive).await);
            let before = count();
            for _ in 0..WAITS {
                assert!(timeout(Duration::ZERO, b.lock(Exclusive)).await.is_err());
            }
            assert!(count() >= before + WAITS, "{name}");
        });
    }
}

/// The number of descriptors of /dev/null, which only this backend opens and never closes.
fn open_null() -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|open| open.ends_with("/dev/null"))
        .count()
}

/// How many threads there are with the name of this one: itself and those that it started.
fn threads_like_this() -> usize {
    let name = fs::read("/proc/thread-self/comm").unwrap();
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("comm")).ok())
        .filter(|other| *other == name)
        .count()
}

#[test]
fn blocks_its_thread_beyond_the_timeout() {
    let setup = Setup::new("blocks-its-thread");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        let waiter = thread::spawn(move || {
            block_on(async move { timeout(SHORT, b.lock(Exclusive)).await.is_ok() })
        });
        thread::sleep(5 * SHORT);
        a.unlock().await.unwrap();
        assert!(waiter.join().unwrap(), "the timeout came first");
    });
}

#[test]
fn waiters_do_not_notice_a_release() {
    for name in ["lost-wake-up", "hears-only-itself", "polls-too-seldom"] {
        let setup = Setup::new(name);
        block_on(async {
            let backend = FlockBackend;
            let path = setup.path();
            let mut other = backend.open(&path, &OpenOptions::new()).await.unwrap();
            other.lock(Exclusive).await.unwrap();
            let mut handle = setup.open().await;
            let mut wait = handle.lock(Exclusive);
            assert!(timeout(SHORT, &mut wait).await.is_err());
            other.unlock().await.unwrap();
            assert!(timeout(10 * SHORT, &mut wait).await.is_err(), "{name}");
        });
    }
}

#[test]
fn hears_only_itself_but_that_it_does() {
    let setup = Setup::new("hears-only-itself");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        let mut wait = b.lock(Exclusive);
        assert!(timeout(SHORT, &mut wait).await.is_err());
        drop(a);
        let woken = timeout(Duration::from_secs(10), wait).await;
        woken.expect("nobody woke the waiter").unwrap();
    });
}

#[test]
fn gives_up_by_itself() {
    let setup = Setup::new("gives-up");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        let error = b.lock(Exclusive).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn some_take_longer_than_they_may() {
    const SLOW: Duration = Duration::from_millis(145);
    let took = |name: &str, done: fn(&mut Handle, &mut Handle) -> Duration| {
        let setup = Setup::new(name);
        let (mut holder, mut other) = block_on(async { (setup.open().await, setup.open().await) });
        assert!(block_on(acquires(&mut holder, Exclusive)));
        done(&mut holder, &mut other)
    };
    let tries = took("tries-for-a-while", |_, other| {
        let begun = Instant::now();
        assert!(!block_on(acquires(other, Exclusive)));
        begun.elapsed()
    });
    let gives_up = took("gives-up-slowly", |_, other| {
        let begun = Instant::now();
        block_on(give_up(other));
        begun.elapsed()
    });
    let unlocks = took("unlocks-slowly", |holder, _| {
        let begun = Instant::now();
        block_on(holder.unlock()).unwrap();
        begun.elapsed()
    });
    let looks = took("looks-each-second", |holder, other| {
        block_on(async {
            let mut wait = other.lock(Exclusive);
            assert!(poll_once(wait.as_mut()).await.is_pending());
            holder.unlock().await.unwrap();
            let begun = Instant::now();
            wait.await.unwrap();
            begun.elapsed()
        })
    });
    for (name, took) in [
        ("an attempt", tries),
        ("giving up", gives_up),
        ("unlocking", unlocks),
        ("a wait after the release", looks),
    ] {
        assert!(took > SLOW, "{name} took {took:?}");
    }
}
