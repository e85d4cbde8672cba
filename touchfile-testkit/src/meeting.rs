//! Threads of one process that meet at a lock at the same moment.

use std::hint::spin_loop;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{Attempt, BoxBackend, ConvertLock, LockBackend, LockHandle, OpenOptions};

use crate::Law;
use crate::free::Random;
use crate::lasting::wait;
use crate::process::ScriptOutcome;

type Handle = Box<dyn LockHandle>;

/// Two threads try to take the exclusive lock at the same moment, so many times if the time allows.
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
    let part = |first: bool| -> io::Result<()> {
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
                // Both must come to the barrier, so the other one is told there.
                stop.store(true, Ordering::Relaxed);
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    };
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| part(false));
        (part(true), other.join())
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
        ScriptOutcome::Done { steps: done }
    })
}

/// So often one of two threads must have found the lock busy for there to have been a race.
const MEETINGS: u64 = 3_000;

/// Two threads try to take the exclusive lock again and again, and let go at once: were both in at
/// the same time?
fn storm(backend: &BoxBackend, path: &Path, rounds: u64, time: Duration) -> io::Result<bool> {
    let end = Instant::now() + time;
    let (inside, both) = (AtomicU32::new(0), AtomicBool::new(false));
    let met = AtomicU64::new(0);
    let longest = end + 4 * time;
    let part = || -> io::Result<()> {
        let runtime = runtime()?;
        let mut handle = open(backend, &runtime, path)?;
        for _ in 0..100 * rounds {
            // On a machine that is busy, two threads seldom run at the same time.
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
        let other = scope.spawn(part);
        part()?;
        other
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?
    });
    joined?;
    Ok(both.into_inner())
}

/// A lock is released at some moment of the first 600 µs of a wait, and by nobody else.
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
        let mut dice = Random::new(seed, 0, 5);
        loop {
            let attempt = runtime.block_on(handle.try_lock(Exclusive));
            held.wait();
            if stop.load(Ordering::Relaxed) {
                return attempt.map(drop);
            }
            let late = Duration::from_micros(dice.below(LATEST_US));
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
        None => ScriptOutcome::Done { steps: done },
    })
}

/// What has happened to a handle that converts.
const PASTS: [&str; 5] = [
    "",
    "after an attempt that failed",
    "after a wait",
    "after a wait that was given up",
    "after 64 locks",
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
) -> io::Result<ScriptOutcome> {
    let mut steps = 0;
    for past in PASTS {
        for elsewhere in [false, true] {
            let (got, tried) = convert_in_a_storm(backend, path, rounds, past, elsewhere)?;
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
                        "somebody got the exclusive lock while a handle changed the mode of the one \
                         that it holds {past}{place}"
                    ),
                ));
            }
        }
    }
    Ok(ScriptOutcome::Done { steps })
}

fn convert_in_a_storm(
    backend: &BoxBackend,
    path: &Path,
    rounds: u64,
    past: &str,
    elsewhere: bool,
) -> io::Result<(bool, u64)> {
    let runtime = runtime()?;
    let mut handle = open(backend, &runtime, path)?;
    have_past(backend, &runtime, path, &mut handle, past)?;
    if runtime.block_on(handle.try_lock(Exclusive))? != Attempt::Acquired {
        return Err(io::Error::other("the lock was busy, but nobody held it"));
    }
    let (stop, tries) = (AtomicBool::new(false), AtomicU64::new(0));
    let storm = || -> io::Result<bool> {
        let runtime = self::runtime()?;
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
            // Each of them meets the storm at least once.
            let before = tries.load(Ordering::Relaxed);
            runtime.block_on(handle.downgrade())?;
            let upgraded = runtime.block_on(handle.try_upgrade())?;
            if upgraded != Attempt::Acquired {
                return Ok(()); // the storm got in, and says so
            }
            let deadline = Instant::now() + Duration::from_millis(20);
            while tries.load(Ordering::Relaxed) == before && Instant::now() < deadline {
                thread::yield_now();
            }
        }
        Ok(())
    };
    let (converted, stormed) = thread::scope(|scope| {
        let storm = scope.spawn(storm);
        let converted = if elsewhere {
            let there = || {
                let runtime = self::runtime()?;
                convert(&mut handle, &runtime)
            };
            let joined = scope.spawn(there).join();
            joined.map_err(|_| io::Error::other("converting panicked"))
        } else {
            Ok(convert(&mut handle, &runtime))
        };
        stop.store(true, Ordering::Relaxed);
        (converted, storm.join())
    });
    let got = stormed.map_err(|_| io::Error::other("a thread panicked"))??;
    if !got {
        converted??;
    }
    Ok((got, tries.into_inner()))
}

fn have_past(
    backend: &BoxBackend,
    runtime: &Runtime,
    path: &Path,
    handle: &mut Handle,
    past: &str,
) -> io::Result<()> {
    let mut other = open(backend, runtime, path)?;
    runtime.block_on(async {
        match past {
            "after an attempt that failed" => {
                other.lock(Exclusive).await?;
                if handle.try_lock(Exclusive).await? == Attempt::Acquired {
                    return Err(io::Error::other("it got a lock that somebody holds"));
                }
                other.unlock().await
            }
            "after a wait" => {
                wait(handle, &mut other, Exclusive).await?;
                handle.unlock().await
            }
            "after a wait that was given up" => {
                other.lock(Exclusive).await?;
                let wait = tokio::time::timeout(Duration::from_millis(2), handle.lock(Exclusive));
                drop(wait.await);
                other.unlock().await
            }
            "after 64 locks" => {
                for _ in 0..64 {
                    handle.lock(Exclusive).await?;
                    handle.unlock().await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    })
}

fn broken(law: Law, what: String) -> ScriptOutcome {
    ScriptOutcome::Broken {
        law,
        what,
        trace: Vec::new(),
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn open(backend: &BoxBackend, runtime: &Runtime, path: &Path) -> io::Result<Handle> {
    runtime.block_on(backend.open(path, &OpenOptions::new()))
}

/// Where threads meet. It spins: whoever sleeps comes late.
struct Barrier {
    size: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    fn new(size: usize) -> Self {
        Self {
            size,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
        }
    }

    fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.size {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round + 1, Ordering::Release);
            return;
        }
        let mut spins = 0_u32;
        while self.round.load(Ordering::Acquire) == round {
            spins += 1;
            if spins % 200 == 0 {
                // On one processor nobody else would come.
                thread::yield_now();
            }
            spin_loop();
        }
    }
}
