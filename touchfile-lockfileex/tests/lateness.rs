//! How late a waiter is: there is nothing that tells it of a release, so it looks again and again.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::LockMode::Exclusive;
use touchfile_core::TouchFile;
use touchfile_lockfileex::LockFileExBackend;

const ROUNDS: u32 = 300;

/// `cargo test --test lateness -- --nocapture` prints the figures. The bound is generous: a machine that is
/// busy is late as well.
#[test]
fn a_waiter_has_the_lock_soon_after_its_release() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = || TouchFile::new(LockFileExBackend::new(), &path).unwrap();
    let (held, (wait, released)) = (touch(), channel());
    let (begin, begun) = channel();
    let waiter = touch();
    let mut late: Vec<Duration> = thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let mut granted = Vec::new();
            for () in begun {
                let guard = waiter.blocking().lock(Exclusive).unwrap();
                granted.push(Instant::now());
                guard.unlock().unwrap();
                wait.send(()).unwrap();
            }
            granted
        });
        let mut unlocked = Vec::new();
        for round in 0..ROUNDS {
            let guard = held.blocking().lock(Exclusive).unwrap();
            begin.send(()).unwrap();
            // Whatever part of its pause the waiter is in.
            thread::sleep(Duration::from_micros(u64::from(
                20_000 + round * 97 % 16_000,
            )));
            unlocked.push(Instant::now());
            guard.unlock().unwrap();
            released.recv().unwrap();
        }
        drop(begin);
        let granted = waiting.join().unwrap();
        let both = granted.into_iter().zip(unlocked);
        both.map(|(granted, unlocked)| granted.duration_since(unlocked))
            .collect()
    });
    late.sort_unstable();
    let at = |percent: usize| late[late.len() * percent / 100];
    println!(
        "a waiter is late by {:?} in the middle, {:?} at 99 %, {:?} at most",
        at(50),
        at(99),
        late[late.len() - 1]
    );
    assert!(at(50) < Duration::from_millis(500), "{late:?}");
}
