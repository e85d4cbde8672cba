//! How long the calls of a backend take.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Attempt, BoxBackend, LockBackend, LockHandle, OpenOptions};

use crate::handles::{poll_once, runtime};
use crate::past::{Misstep, acquire};

/// A call whose time is measured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum TimedCall {
    TryFree,
    TryHeld,
    BeginToWait,
    GiveUp,
    Unlock,
    WaitAfterRelease,
    Drop,
}

/// How long the calls of one kind took, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct CallTimes {
    pub(crate) call: TimedCall,
    pub(crate) median: u64,
    pub(crate) longest: u64,
}

/// How long all calls took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Times {
    pub(crate) rounds: u64,
    /// By how many microseconds a thread that only sleeps woke too late at the same time, as a median.
    pub(crate) lateness: u64,
    pub(crate) calls: Vec<CallTimes>,
}

impl TimedCall {
    pub(crate) const ALL: [Self; 7] = [
        Self::TryFree,
        Self::TryHeld,
        Self::BeginToWait,
        Self::GiveUp,
        Self::Unlock,
        Self::WaitAfterRelease,
        Self::Drop,
    ];
}

/// How many rounds are made even if the time is over by then.
const LEAST: u64 = 5;

/// How long a wait lasts that is given up.
const WAIT: Duration = Duration::from_millis(2);

/// Makes this many rounds of calls on one lock file, if the time allows. After `end` no more is begun.
///
/// # Errors
///
/// Those of locking, and a [`Misstep`].
pub(crate) fn time_calls(
    backend: &BoxBackend,
    path: &Path,
    rounds: u64,
    time: Duration,
    patience: Duration,
    end: Instant,
) -> io::Result<Times> {
    let (stop, enough) = (AtomicBool::new(false), Instant::now() + time);
    let mut all: Vec<Vec<Duration>> = vec![Vec::new(); TimedCall::ALL.len()];
    let mut done = 0;
    let lateness = thread::scope(|scope| {
        let sleeper = scope.spawn(|| lateness(&stop));
        let _stop = SetOnDrop(&stop);
        let runtime = runtime()?;
        while done < rounds && Instant::now() < end {
            if done >= LEAST && Instant::now() > enough {
                break;
            }
            runtime.block_on(round(backend, path, patience, &mut all))?;
            done += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let slept = sleeper.join();
        slept.map_err(|_| io::Error::other("a thread that sleeps panicked"))
    })?;
    let calls = TimedCall::ALL.into_iter().zip(&mut all);
    Ok(Times {
        rounds: done,
        lateness: us(median(lateness)),
        calls: calls
            .map(|(call, times)| CallTimes {
                call,
                longest: us(times.iter().max().copied().unwrap_or_default()),
                median: us(median(std::mem::take(times))),
            })
            .collect(),
    })
}

/// Makes each call once.
async fn round(
    backend: &BoxBackend,
    path: &Path,
    patience: Duration,
    all: &mut [Vec<Duration>],
) -> io::Result<()> {
    let mut holder = backend.open(path, &OpenOptions::new()).await?;
    let mut other = backend.open(path, &OpenOptions::new()).await?;
    timed(all, TimedCall::TryFree, acquire(&mut holder, Exclusive)).await?;
    let attempt = timed(all, TimedCall::TryHeld, other.try_lock(Exclusive)).await?;
    if attempt == Attempt::Acquired {
        return Err(Misstep::Granted.into());
    }
    {
        let mut wait = other.lock(Exclusive);
        let first = timed(all, TimedCall::BeginToWait, poll_once(wait.as_mut())).await;
        still_waits(first)?;
        if let Ok(ended) = tokio::time::timeout(WAIT, wait.as_mut()).await {
            still_waits(Poll::Ready(ended))?;
        }
        timed(all, TimedCall::GiveUp, async move { drop(wait) }).await;
    }
    {
        let mut wait = other.lock(Exclusive);
        still_waits(poll_once(wait.as_mut()).await)?;
        timed(all, TimedCall::Unlock, holder.unlock()).await?;
        let granted = tokio::time::timeout(patience, wait);
        timed(all, TimedCall::WaitAfterRelease, granted)
            .await
            .map_err(|_| Misstep::Late)??;
    }
    timed(all, TimedCall::Drop, async move { drop(other) }).await;
    Ok(())
}

async fn timed<T>(
    all: &mut [Vec<Duration>],
    call: TimedCall,
    future: impl Future<Output = T>,
) -> T {
    let begun = Instant::now();
    let said = future.await;
    all[call as usize].push(begun.elapsed());
    said
}

/// Checks that a wait for a lock that is held goes on.
fn still_waits(polled: Poll<io::Result<()>>) -> io::Result<()> {
    match polled {
        Poll::Pending => Ok(()),
        Poll::Ready(ended) => ended.and(Err(Misstep::Granted.into())),
    }
}

/// Sleeps again and again, and returns by how much each sleep was too long.
fn lateness(stop: &AtomicBool) -> Vec<Duration> {
    const SLEEP: Duration = Duration::from_millis(1);
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        thread::sleep(SLEEP);
        all.push(begun.elapsed().saturating_sub(SLEEP));
    }
    all
}

/// The middle one of these times, or none if there are none.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Ends the thread that sleeps, even if the backend panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
