//! Scripts that lock and unlock, many times or in a special way.

use std::fs::{File, OpenOptions};
use std::io;
use std::time::{Duration, Instant};

use touchfile_core::{Attempt, LockHandle, LockMode};

use super::ScriptContext;
use crate::system;

/// Makes this many attempts with one handle, if there is time, and unlocks after each success.
pub(super) fn try_many(context: &ScriptContext<'_>) -> io::Result<String> {
    let (mode, attempts): (LockMode, u64) = (context.word(0)?, context.word(1)?);
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let (mut acquired, mut busy) = (0, 0);
        while acquired + busy < attempts && !context.is_over() {
            if handle.try_lock(mode).await? == Attempt::Acquired {
                acquired += 1;
                handle.unlock().await?;
            } else {
                busy += 1;
            }
        }
        Ok(format!("{acquired} acquired, {busy} busy"))
    })
}

/// Waits for the lock this many times, if there is time, and holds it for this many microseconds each
/// time.
pub(super) fn lock_and_unlock(context: &ScriptContext<'_>) -> io::Result<String> {
    let turns: u64 = context.word(0)?;
    let hold = Duration::from_micros(context.word(1)?);
    context.runtime.block_on(async {
        let mut handle = context.open().await?;
        let mut done = 0;
        for turn in 0..turns {
            if context.is_over() {
                break;
            }
            done += 1;
            handle.lock(LockMode::Exclusive).await?;
            let begun = Instant::now();
            // A timer would take a millisecond at least.
            while begun.elapsed() < hold {
                tokio::task::yield_now().await;
            }
            handle.unlock().await?;
            if turn % 4 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(format!("{done} turns"))
    })
}

/// Opens, locks, unlocks and drops handles until this process or the suite is killed.
pub(super) fn for_ever(context: &ScriptContext<'_>) -> io::Result<String> {
    let is_orphan = system::is_orphan();
    context.runtime.block_on(async {
        while !is_orphan() {
            let mut handle = context.open().await?;
            for _ in 0..3 {
                if handle.try_lock(LockMode::Exclusive).await? == Attempt::Acquired {
                    handle.unlock().await?;
                }
            }
            handle.lock(LockMode::Exclusive).await?;
        }
        Ok("the suite has ended".into())
    })
}

/// Drops a handle that holds the lock outside of any runtime.
pub(super) fn drop_without_a_runtime(context: &ScriptContext<'_>) -> io::Result<String> {
    let handle = context.runtime.block_on(context.hold())?;
    drop(handle);
    Ok("dropped".into())
}

/// Opens and closes the lock file as any other program would.
pub(super) fn open_and_close(context: &ScriptContext<'_>) -> io::Result<String> {
    if !context.path.is_file() {
        return Ok("there is no file".into());
    }
    drop(File::open(context.path)?);
    drop(OpenOptions::new().append(true).open(context.path)?);
    Ok("closed".into())
}
