//! Attempts of two threads.

use std::hint::spin_loop;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Attempt, BoxBackend, LockHandle};

use super::{Barrier, broken};
use crate::Law;
use crate::handles::{open, runtime};
use crate::process::ScriptOutcome;

/// Two threads try to take the exclusive lock at the same moment, this many times if the time
/// allows.
///
/// # Errors
///
/// Those of opening, and the suite's own.
pub(crate) fn attempts(
    backend: &BoxBackend,
    path: &Path,
    rounds: u64,
    time: Duration,
) -> io::Result<ScriptOutcome> {
    if storm(backend, path, rounds, time / 2)? {
        return Ok(broken(
            Law::Exclusion,
            "two threads that tried again and again were in at the same time".into(),
        ));
    }
    let end = Instant::now() + time / 2;
    let (barrier, stop) = (Barrier::new(2), AtomicBool::new(false));
    let (got, both, neither, done) = (
        AtomicU32::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
    );
    let work = |first: bool| -> io::Result<()> {
        let runtime = runtime()?;
        let mut handle = open(backend, &runtime, path)?;
        let mut failed = None;
        for _ in 0..rounds {
            if first {
                stop.fetch_or(Instant::now() > end, Ordering::Relaxed);
            }
            barrier.wait();
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let attempt = runtime.block_on(handle.try_lock(Exclusive));
            let has = matches!(attempt, Ok(Attempt::Acquired));
            got.fetch_add(u32::from(has), Ordering::Relaxed);
            barrier.wait();
            if first {
                done.fetch_add(1, Ordering::Relaxed);
                match got.swap(0, Ordering::Relaxed) {
                    0 => neither.fetch_add(1, Ordering::Relaxed),
                    2 => both.fetch_add(1, Ordering::Relaxed),
                    _ => 0,
                };
            }
            barrier.wait();
            let unlocked = if has {
                runtime.block_on(handle.unlock())
            } else {
                attempt.map(drop)
            };
            if let Err(error) = unlocked {
                // The other thread waits at the barrier, and sees there that it is to stop.
                stop.store(true, Ordering::Relaxed);
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    };
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| work(false));
        (work(true), other.join())
    });
    one?;
    other.map_err(|_| io::Error::other("a thread panicked"))??;
    let (both, neither, done) = (both.into_inner(), neither.into_inner(), done.into_inner());
    Ok(if both > 0 {
        broken(
            Law::Exclusion,
            format!(
                "two threads that tried at the same moment both got it, {both} times in {done}"
            ),
        )
    } else if neither > 0 {
        broken(
            Law::NoFalseBusy,
            format!(
                "of two threads that tried at the same moment neither got it, {neither} times in {done}"
            ),
        )
    } else {
        // A fast machine has time for all rounds, and a twentieth of them would do.
        ScriptOutcome::Done {
            steps: done,
            planned: rounds / 20,
        }
    })
}

/// Whether two threads held the exclusive lock at the same time, while both took it and released it
/// again and again.
fn storm(backend: &BoxBackend, path: &Path, rounds: u64, time: Duration) -> io::Result<bool> {
    /// The threads have raced if one of them has found the lock busy this many times.
    const MEETINGS: u64 = 3_000;
    let end = Instant::now() + time;
    let (inside, both) = (AtomicU32::new(0), AtomicBool::new(false));
    let met = AtomicU64::new(0);
    let longest = end + 4 * time;
    let work = || -> io::Result<()> {
        let runtime = runtime()?;
        let mut handle = open(backend, &runtime, path)?;
        for _ in 0..100 * rounds {
            // On a busy machine two threads seldom run at the same time.
            let until = if met.load(Ordering::Relaxed) < MEETINGS {
                longest
            } else {
                end
            };
            if Instant::now() > until || both.load(Ordering::Relaxed) {
                break;
            }
            if runtime.block_on(handle.try_lock(Exclusive))? == Attempt::WouldBlock {
                met.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let one = inside.fetch_add(1, Ordering::AcqRel) > 0;
            for _ in 0..30 {
                spin_loop();
            }
            let other = inside.fetch_sub(1, Ordering::AcqRel) > 1;
            both.fetch_or(one || other, Ordering::Relaxed);
            runtime.block_on(handle.unlock())?;
        }
        Ok(())
    };
    let joined = thread::scope(|scope| {
        let other = scope.spawn(work);
        work()?;
        other
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?
    });
    joined?;
    Ok(both.into_inner())
}
