//! Locks that are held for long, by handles with every kind of past.

use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{Attempt, BoxBackend, LockBackend, LockHandle, OpenOptions};

use crate::Law;
use crate::process::ScriptOutcome;
use crate::walk::make_directory;

type Handle = Box<dyn LockHandle>;

/// What happens to a handle before it takes the lock.
const PASTS: [&str; 8] = [
    "a new handle",
    "the second handle of its file",
    "a handle whose attempt had failed",
    "a handle that had to wait for it",
    "a handle that had waited before",
    "a handle whose wait had been given up",
    "a handle that had been asked again",
    "a handle that had had it 64 times",
];

/// Takes a lock on a file of its own for each past and mode, here and in another thread and
/// runtime, and looks after `time` whether all are held still.
///
/// # Errors
///
/// Those of locking, and the suite's own.
pub(crate) fn lasting(
    backend: &BoxBackend,
    dir: &Path,
    time: Duration,
) -> io::Result<ScriptOutcome> {
    let claims = backend.capabilities();
    make_directory(dir)?;
    let modes = if claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    let runtime = runtime()?;
    let mut held = Vec::new();
    for (number, past) in PASTS.iter().enumerate() {
        for &mode in modes {
            for elsewhere in [false, true] {
                let path = dir.join(format!("{number}-{mode}-{elsewhere}.lock"));
                let handles = if elsewhere {
                    let there = || {
                        let runtime = self::runtime()?;
                        hold(backend, &runtime, &path, number, mode)
                    };
                    let held = thread::scope(|scope| scope.spawn(there).join());
                    held.map_err(|_| io::Error::other("a thread panicked"))??
                } else {
                    hold(backend, &runtime, &path, number, mode)?
                };
                held.push((past, mode, elsewhere, path, handles));
            }
        }
    }
    thread::sleep(time);
    let mut looked = 0;
    for (past, mode, elsewhere, path, handles) in &mut held {
        let mut witness = open(backend, &runtime, path)?;
        let attempt = runtime.block_on(witness.try_lock(Exclusive))?;
        if attempt == Attempt::Acquired {
            let place = if *elsewhere {
                ", in another thread and runtime"
            } else {
                ""
            };
            return Ok(ScriptOutcome::Broken {
                law: Law::Exclusion,
                what: format!("it got the lock, which another handle has held for {time:?}"),
                trace: vec![format!("{past} takes the {mode} lock{place}")],
            });
        }
        runtime.block_on(handles[0].unlock())?;
        looked += 1;
    }
    Ok(ScriptOutcome::Done { steps: looked })
}

/// The handle that holds the lock, and another.
fn hold(
    backend: &BoxBackend,
    runtime: &Runtime,
    path: &Path,
    past: usize,
    mode: LockMode,
) -> io::Result<[Handle; 2]> {
    let mut other = open(backend, runtime, path)?;
    let mut handle = open(backend, runtime, path)?;
    if past == 0 {
        std::mem::swap(&mut handle, &mut other);
    }
    runtime.block_on(async {
        match past {
            2 => {
                other.lock(Exclusive).await?;
                if handle.try_lock(mode).await? == Attempt::Acquired {
                    return Err(io::Error::other("it got a lock that somebody holds"));
                }
                other.unlock().await?;
            }
            3 => {
                wait(&mut handle, &mut other, mode).await?;
                return Ok([handle, other]);
            }
            4 => {
                wait(&mut handle, &mut other, mode).await?;
                handle.unlock().await?;
            }
            5 => {
                other.lock(Exclusive).await?;
                let wait = tokio::time::timeout(Duration::from_millis(2), handle.lock(mode));
                drop(wait.await);
                other.unlock().await?;
            }
            6 => {
                handle.lock(mode).await?;
                // It refuses, which is the matter of other cases.
                drop(handle.try_lock(mode).await);
                handle.unlock().await?;
            }
            7 => {
                let end = Instant::now() + Duration::from_millis(500);
                for _ in 0..64 {
                    // Of a backend that is slow, fewer.
                    if Instant::now() > end {
                        break;
                    }
                    handle.lock(mode).await?;
                    handle.unlock().await?;
                }
            }
            _ => {}
        }
        match handle.try_lock(mode).await? {
            Attempt::Acquired => Ok([handle, other]),
            Attempt::WouldBlock => Err(io::Error::other("the lock was busy, but nobody held it")),
        }
    })
}

/// Waits for a lock that the other one holds and lets go of.
pub(crate) async fn wait(
    handle: &mut Handle,
    other: &mut Handle,
    mode: LockMode,
) -> io::Result<()> {
    other.lock(Exclusive).await?;
    let mut lock = pin!(handle.lock(mode));
    let polled = poll_fn(|cx| Poll::Ready(lock.as_mut().poll(cx))).await;
    other.unlock().await?;
    match polled {
        Poll::Pending => lock.await,
        Poll::Ready(waited) => waited,
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn open(backend: &BoxBackend, runtime: &Runtime, path: &Path) -> io::Result<Handle> {
    runtime.block_on(backend.open(path, &OpenOptions::new()))
}
