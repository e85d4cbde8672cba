//! Scripts with several threads.

use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use touchfile_core::{Attempt, LockHandle, LockMode};

use super::ScriptContext;
use crate::handles::runtime;
use crate::system;

/// Makes an attempt in each of four threads, each with a handle and a runtime of its own.
pub(super) fn try_in_others(context: &ScriptContext<'_>) -> io::Result<String> {
    let (backend, path) = (context.backend, context.path);
    let attempt = || {
        let runtime = runtime()?;
        let words = [];
        let context = ScriptContext {
            backend,
            runtime: &runtime,
            path,
            words: &words,
            end: context.end,
        };
        runtime.block_on(async {
            let mut handle = context.open().await?;
            handle.try_lock(LockMode::Exclusive).await
        })
    };
    let attempts: io::Result<Vec<_>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(attempt)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(panicked)?)
            .collect()
    });
    let words = attempts?.into_iter().map(|attempt| match attempt {
        Attempt::Acquired => "acquired",
        Attempt::WouldBlock => "busy",
    });
    Ok(words.collect::<Vec<_>>().join(" "))
}

/// Drops a handle that holds the lock in another thread than the one that has locked.
pub(super) fn drop_in_another(context: &ScriptContext<'_>) -> io::Result<String> {
    let handle = context.runtime.block_on(context.hold())?;
    thread::scope(|scope| scope.spawn(move || drop(handle)).join()).map_err(panicked)?;
    Ok("dropped".into())
}

/// Locks and unlocks this many times while other threads start child processes all the time.
pub(super) fn lock_while_spawning(context: &ScriptContext<'_>) -> io::Result<String> {
    let turns: u64 = context.word(0)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // The fork is what matters, even if there is no true(1).
                    system::program_that_ends()
                        .stdin(Stdio::null())
                        .stdout(Stdio::null())
                        .status()
                        .ok();
                }
            });
        }
        // The threads must end even if this panics or fails.
        let _stop = SetOnDrop(&stop);
        context.runtime.block_on(async {
            let mut done = 0;
            for _ in 0..turns {
                if context.is_over() {
                    break;
                }
                done += 1;
                let mut handle = context.open().await?;
                handle.lock(LockMode::Exclusive).await?;
                handle.unlock().await?;
                handle.lock(LockMode::Exclusive).await?;
            }
            Ok(format!("{done} turns"))
        })
    })
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> io::Error {
    io::Error::other(format!(
        "panicked: {}",
        super::super::panic_message(panic.as_ref())
    ))
}
