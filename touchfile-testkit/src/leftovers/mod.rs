//! What calls leave behind: descriptors, threads, new files, and changes of the lock file.
//!
//! Each call is repeated on a handle with each past. Descriptors, threads and files are counted before
//! and after. A backend may make something once and keep it for all later calls: only what grows
//! with each repetition is a leak.

mod calls;
mod counts;

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::{BoxBackend, LockBackend, LockMode};

use self::calls::{CALLS, Call, Subject};
use self::counts::Leftover;
use crate::handles::modes;
use crate::past::Past;
use crate::process::ScriptOutcome;
use crate::walk::make_directory;

const PASTS: [Past; 4] = [
    Past::Nothing,
    Past::FailedTry,
    Past::GivenUpWait,
    Past::Wait,
];

/// How long all calls may take in each of the two threads. With a slow backend fewer are made.
const LONGEST: Duration = Duration::from_secs(4);

/// Makes every call, in this thread and in another.
///
/// # Errors
///
/// The suite's own.
pub(crate) fn leftovers(
    backend: &BoxBackend,
    dir: &Path,
    patience: Duration,
) -> io::Result<ScriptOutcome> {
    let here = all_calls(backend, &dir.join("here"), patience, "")?;
    let ScriptOutcome::Done { steps, planned } = here else {
        return Ok(here);
    };
    let there = thread::scope(|scope| {
        let calls = || all_calls(backend, &dir.join("there"), patience, ", in another thread");
        scope.spawn(calls).join()
    });
    match there.map_err(|_| io::Error::other("the count itself panicked"))?? {
        ScriptOutcome::Done {
            steps: more,
            planned: more_planned,
        } => Ok(ScriptOutcome::Done {
            steps: steps + more,
            planned: planned + more_planned,
        }),
        broken => Ok(broken),
    }
}

fn all_calls(
    backend: &BoxBackend,
    dir: &Path,
    patience: Duration,
    place: &str,
) -> io::Result<ScriptOutcome> {
    make_directory(dir)?;
    let end = Instant::now() + LONGEST;
    let all = PASTS.len() * CALLS.len() * modes(backend.capabilities()).len();
    let planned = (2 * counts::TIMES * all) as u64;
    let mut steps = 0;
    for past in PASTS {
        for (number, call) in CALLS.iter().enumerate() {
            for &mode in modes(backend.capabilities()) {
                if Instant::now() > end {
                    return Ok(ScriptOutcome::Done { steps, planned });
                }
                let sub = dir.join(format!("{}-{number}-{mode}", past as u8));
                make_directory(&sub)?;
                let mut subject = Subject::new(backend, &sub, mode, past, patience)?;
                steps += 2 * counts::TIMES as u64;
                if let Some(leftover) = subject.leftover(call) {
                    return Ok(broken(call, leftover, past, mode, place));
                }
            }
        }
    }
    Ok(ScriptOutcome::Done { steps, planned })
}

fn broken(
    call: &Call,
    leftover: Leftover,
    past: Past,
    mode: LockMode,
    place: &str,
) -> ScriptOutcome {
    let name = call.name;
    ScriptOutcome::Broken {
        law: leftover.law.unwrap_or(call.law),
        what: format!("{name} {}", leftover.what),
        trace: vec![format!(
            "{name} is repeated{}{place}, with the {mode} lock",
            past.in_words()
        )],
    }
}
