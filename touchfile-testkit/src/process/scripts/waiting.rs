//! Scripts that wait and give up waits.

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use touchfile_core::{Attempt, LockHandle, LockMode};

use super::ScriptContext;
use crate::free::now_ns;
use crate::handles::{poll_once, poll_times};
use crate::timing;

/// Gives up this many waits for a lock that another process holds all the time.
pub(super) fn give_up(context: &ScriptContext<'_>) -> io::Result<String> {
    let waits: u64 = context.word(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let mut done = 0;
        for wait in 0..waits {
            if context.is_over() {
                break;
            }
            done += 1;
            if wait % 10 == 0 {
                handle = context.open().await?;
            }
            let lock = handle.lock(LockMode::Exclusive);
            let ended = match wait % 20 {
                0 => timeout(Duration::from_millis(2), lock).await.ok(),
                polls => poll_times(polls % 4, lock).await,
            };
            match ended {
                None => {}
                Some(Ok(())) => return Ok("got the lock, which somebody holds".into()),
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(format!("gave up {done} waits"))
    })
}

/// Begins this many waits, and gives each up about when it may be granted.
pub(super) fn give_up_in_a_race(context: &ScriptContext<'_>) -> io::Result<String> {
    let waits: u64 = context.word(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let (mut got, mut done) = (0, 0);
        for wait in 0..waits {
            if context.is_over() {
                break;
            }
            done += 1;
            let lock = handle.lock(LockMode::Exclusive);
            let ended = match wait % 4 {
                0 => timeout(Duration::from_millis(wait % 3), lock).await.ok(),
                polls => poll_times(polls, lock).await,
            };
            match ended {
                Some(result) => {
                    result?;
                    got += 1;
                    handle.unlock().await?;
                }
                // Even if the wait was granted just before it was given up, nothing is held now.
                None => {
                    if handle.try_lock(LockMode::Exclusive).await? == Attempt::Acquired {
                        handle.unlock().await?;
                    }
                }
            }
        }
        Ok(format!("{got} of {done} waits got the lock"))
    })
}

/// Waits for a lock that another process holds, with a timeout in milliseconds.
pub(super) fn with_a_timeout(context: &ScriptContext<'_>) -> io::Result<String> {
    let limit = context.milliseconds(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let begun = Instant::now();
        Ok(
            match timeout(limit, handle.lock(LockMode::Exclusive)).await {
                Ok(Ok(())) => "acquired".into(),
                Ok(Err(error)) => {
                    format!("failed after {} ms: {error}", begun.elapsed().as_millis())
                }
                Err(_) => format!("timed out after {}", begun.elapsed().as_millis()),
            },
        )
    })
}

/// Waits once, and answers with the times at which the wait began and was granted, on the clock of all
/// processes.
pub(super) fn in_queue(context: &ScriptContext<'_>) -> io::Result<String> {
    let hold = context.milliseconds(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let mut lock = Box::pin(handle.lock(LockMode::Exclusive));
        let polled = poll_once(lock.as_mut()).await;
        // After its first poll the wait is in the queue.
        let begun = now_ns();
        match polled {
            Poll::Pending => lock.await?,
            Poll::Ready(locked) => {
                drop(lock);
                locked?;
            }
        }
        let granted = now_ns();
        tokio::time::sleep(hold).await;
        handle.unlock().await?;
        Ok(format!("{begun} {granted}"))
    })
}

/// Holds the shared lock for 10 ms, again and again, for this many milliseconds.
pub(super) fn read_in_turns(context: &ScriptContext<'_>) -> io::Result<String> {
    let end = Instant::now() + context.milliseconds(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let mut turns = 0;
        while Instant::now() < end {
            handle.lock(LockMode::Shared).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
            handle.unlock().await?;
            turns += 1;
        }
        Ok(format!("{turns} turns"))
    })
}

/// Takes the exclusive lock again and again, for this many milliseconds, and answers with the number
/// of times and the longest wait.
pub(super) fn write_in_turns(context: &ScriptContext<'_>) -> io::Result<String> {
    let end = Instant::now() + context.milliseconds(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let (mut turns, mut longest) = (0, Duration::ZERO);
        while Instant::now() < end {
            let begun = Instant::now();
            let left = end.saturating_duration_since(begun);
            let ended = timeout(left, handle.lock(LockMode::Exclusive)).await;
            longest = longest.max(begun.elapsed());
            if let Ok(result) = ended {
                result?;
                handle.unlock().await?;
                turns += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(format!(
            "{turns} turns, longest wait {} ms",
            longest.as_millis()
        ))
    })
}

/// Measures how long calls take. The arguments are the number of rounds, and the time for them and the
/// patience in milliseconds. The answer is JSON.
pub(super) fn time_calls(context: &ScriptContext<'_>) -> io::Result<String> {
    let (rounds, time) = (context.word(0)?, context.milliseconds(1)?);
    let (backend, path, patience) = (context.backend, context.path, context.milliseconds(2)?);
    let times = timing::time_calls(backend, path, rounds, time, patience, context.end)?;
    Ok(serde_json::to_string(&times)?)
}
