//! Conversions beside the attempts of another thread.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Attempt, BoxBackend, ConvertLock, LockBackend, LockHandle, OpenOptions};

use super::broken;
use crate::Law;
use crate::handles::{self, Handle, open};
use crate::past::{Past, acquire};
use crate::process::ScriptOutcome;

/// What has happened to a handle that converts.
const PASTS: [Past; 5] = [
    Past::Nothing,
    Past::FailedTry,
    Past::Wait,
    Past::GivenUpWait,
    Past::ManyLocks,
];

/// A handle changes the mode of its lock again and again, while another thread tries to get in.
///
/// # Errors
///
/// Those of opening, and the suite's own.
pub(crate) fn conversions(
    backend: &BoxBackend,
    path: &Path,
    rounds: u64,
    patience: Duration,
) -> io::Result<ScriptOutcome> {
    let mut steps = 0;
    for past in PASTS {
        for elsewhere in [false, true] {
            let (got, tried) =
                convert_beside_attempts(backend, path, rounds, (past, patience), elsewhere)?;
            steps += tried;
            if got {
                let place = if elsewhere {
                    ", in another thread and runtime"
                } else {
                    ""
                };
                return Ok(broken(
                    Law::Exclusion,
                    format!(
                        "another handle got the exclusive lock while a handle changed the mode of the \
                         lock that it holds{}{place}",
                        past.in_words()
                    ),
                ));
            }
        }
    }
    Ok(ScriptOutcome::done(steps))
}

fn convert_beside_attempts(
    backend: &BoxBackend,
    path: &Path,
    rounds: u64,
    (past, patience): (Past, Duration),
    elsewhere: bool,
) -> io::Result<(bool, u64)> {
    let runtime = handles::runtime()?;
    let mut handle = open(backend, &runtime, path)?;
    runtime.block_on(async {
        let mut other = backend.open(path, &OpenOptions::new()).await?;
        past.make(&mut handle, &mut other, Exclusive, patience)
            .await?;
        acquire(&mut handle, Exclusive).await
    })?;
    let (stop, tries) = (AtomicBool::new(false), AtomicU64::new(0));
    let attempts = || -> io::Result<bool> {
        let runtime = handles::runtime()?;
        let mut other = open(backend, &runtime, path)?;
        while !stop.load(Ordering::Relaxed) {
            tries.fetch_add(1, Ordering::Relaxed);
            if runtime.block_on(other.try_lock(Exclusive))? == Attempt::Acquired {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let convert = |handle: &mut Handle, runtime: &Runtime| -> io::Result<()> {
        for _ in 0..rounds {
            // At least one attempt of the other thread falls into each round.
            let before = tries.load(Ordering::Relaxed);
            runtime.block_on(handle.downgrade())?;
            let upgraded = runtime.block_on(handle.try_upgrade())?;
            if upgraded != Attempt::Acquired {
                return Ok(()); // the other thread got the lock, and reports it
            }
            let deadline = Instant::now() + Duration::from_millis(20);
            while tries.load(Ordering::Relaxed) == before && Instant::now() < deadline {
                thread::yield_now();
            }
        }
        Ok(())
    };
    let (converted, attempted) = thread::scope(|scope| {
        let attempts = scope.spawn(attempts);
        let converted = if elsewhere {
            let there = || {
                let runtime = handles::runtime()?;
                convert(&mut handle, &runtime)
            };
            let joined = scope.spawn(there).join();
            joined.map_err(|_| io::Error::other("converting panicked"))
        } else {
            Ok(convert(&mut handle, &runtime))
        };
        stop.store(true, Ordering::Relaxed);
        (converted, attempts.join())
    });
    let got = attempted.map_err(|_| io::Error::other("a thread panicked"))??;
    if !got {
        converted??;
    }
    Ok((got, tries.into_inner()))
}
