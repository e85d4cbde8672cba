//! Releases at the beginning of a wait.

use std::hint::spin_loop;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{BoxBackend, LockBackend, LockHandle};

use super::{Barrier, broken};
use crate::Law;
use crate::free::Random;
use crate::handles::{open, runtime};
use crate::process::ScriptOutcome;

/// The only holder of a lock releases it at some moment of the first 600 µs of a wait.
///
/// # Errors
///
/// Those of opening, and the suite's own.
pub(crate) fn early_releases(
    backend: &BoxBackend,
    path: &Path,
    rounds: u64,
    time: Duration,
    patience: Duration,
    seed: u64,
) -> io::Result<ScriptOutcome> {
    const LATEST_US: u64 = 600;
    let shared = backend.capabilities().shared;
    let end = Instant::now() + time;
    let (held, waits) = (Barrier::new(2), AtomicBool::new(false));
    let stop = AtomicBool::new(false);
    let holder = || -> io::Result<()> {
        let runtime = runtime()?;
        let mut handle = open(backend, &runtime, path)?;
        let mut random = Random::new(seed, 0, 5);
        loop {
            let attempt = runtime.block_on(handle.try_lock(Exclusive));
            held.wait();
            if stop.load(Ordering::Relaxed) {
                return attempt.map(drop);
            }
            let late = Duration::from_micros(random.below(LATEST_US));
            while !waits.load(Ordering::Acquire) {
                spin_loop();
                thread::yield_now();
            }
            let begun = Instant::now();
            while begun.elapsed() < late {
                spin_loop();
            }
            let unlocked = runtime.block_on(handle.unlock());
            held.wait();
            unlocked?;
        }
    };
    let waiter = || -> io::Result<(u64, Option<LockMode>)> {
        let runtime = runtime()?;
        let mut handle = open(backend, &runtime, path)?;
        let mut done = 0;
        let mut missed = None;
        let mut result = Ok(());
        while done < rounds && Instant::now() < end && missed.is_none() && result.is_ok() {
            let mode = if shared && done % 3 == 2 {
                Shared
            } else {
                Exclusive
            };
            held.wait();
            waits.store(true, Ordering::Release);
            let waited =
                runtime.block_on(async { tokio::time::timeout(patience, handle.lock(mode)).await });
            waits.store(false, Ordering::Relaxed);
            result = match waited {
                Ok(Ok(())) => runtime.block_on(handle.unlock()),
                Ok(Err(error)) => Err(error),
                Err(_) => {
                    missed = Some(mode);
                    Ok(())
                }
            };
            held.wait();
            done += 1;
        }
        stop.store(true, Ordering::Relaxed);
        held.wait();
        result.map(|()| (done, missed))
    };
    let (held_by, waited) = thread::scope(|scope| {
        let holder = scope.spawn(holder);
        let waited = waiter();
        (holder.join(), waited)
    });
    held_by.map_err(|_| io::Error::other("a thread panicked"))??;
    let (done, missed) = waited?;
    Ok(match missed {
        Some(mode) => broken(
            Law::Liveness,
            format!(
                "a lock that was released within {LATEST_US} µs of the beginning of a wait for the \
                 {mode} one was not granted within {patience:?}, in round {done}"
            ),
        ),
        None => ScriptOutcome::Done {
            steps: done,
            planned: rounds,
        },
    })
}
