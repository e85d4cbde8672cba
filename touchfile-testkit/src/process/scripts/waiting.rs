//! Waiting, and giving up.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use touchfile_core::{Attempt, LockHandle, LockMode};

use super::ScriptContext;
use crate::free::now_ns;

/// So many waits for a lock that somebody holds all the while.
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

/// So many waits, each with a timeout that lets it get the lock or not.
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
                // Whether the wait was given up just as it was granted, nothing is held now.
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

/// A wait for a lock that somebody holds, with a timeout in milliseconds.
pub(super) fn with_a_timeout(context: &ScriptContext<'_>) -> io::Result<String> {
    let patience = context.milliseconds(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let begun = Instant::now();
        Ok(
            match timeout(patience, handle.lock(LockMode::Exclusive)).await {
                Ok(Ok(())) => "acquired".into(),
                Ok(Err(error)) => {
                    format!("failed after {} ms: {error}", begun.elapsed().as_millis())
                }
                Err(_) => format!("timed out after {}", begun.elapsed().as_millis()),
            },
        )
    })
}

/// Waits once, and says when the wait began and when it was granted, on the clock of all processes.
pub(super) fn in_line(context: &ScriptContext<'_>) -> io::Result<String> {
    let hold = context.milliseconds(0)?;
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let mut lock = Box::pin(handle.lock(LockMode::Exclusive));
        let polled = poll_fn(|cx| Poll::Ready(lock.as_mut().poll(cx))).await;
        // It stands in line, as far as anybody can tell.
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

/// Holds the shared lock for 10 ms, again and again, for so many milliseconds.
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

/// Takes the exclusive lock again and again, for so many milliseconds: how often, and what was
/// the longest wait?
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

/// Polls a future so many times, with whatever else there is to do in between, and drops it.
async fn poll_times<F: Future>(times: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
