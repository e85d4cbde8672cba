//! Long walks: one process does everything that can be done with handles, at random, tens of
//! thousands of steps a second, and a witness looks at the lock after each.
//!
//! The lock-step schedules are short, and each begins with fresh processes. What shows only after a
//! thousand locks of one handle, at the sixteenth reader, in a second thread or runtime, on a path
//! with `..` in it or after some rare step, is found here. All happens in one process and one thing
//! after the other, so that each answer is known beforehand, but for [the moments](settle) in which
//! one of several waiters may be the next.

mod attempts;
mod call;
mod convert;
mod expected;
mod files;
mod inherited;
mod probe;
mod questions;
mod releases;
mod settle;
mod slot;
mod waits;
mod walker;

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::{BoxBackend, LockBackend};

use self::walker::Walker;
use crate::Law;
use crate::process::ScriptOutcome;

/// What a walk is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// Many readers, many handles.
    Crowded,
    /// Paths and files of every kind.
    Everywhere,
    /// A bit of everything, on two files.
    Mixed,
    /// Handles that live long, and have locked a thousand times when it begins.
    Worn,
}

/// What a walker is told.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) style: Style,
    pub(crate) seed: u64,
    /// How many steps it takes, if there is time for so many.
    pub(crate) steps: u64,
    /// How long it walks at most.
    pub(crate) time: Duration,
    /// How soon a waiter must have a lock that is free.
    pub(crate) patience: Duration,
}

/// Why a walk is not walked on.
enum Halt {
    Broken(Law, String),
    /// The suite's own failure.
    Own(io::Error),
}

impl Halt {
    fn broken(law: Law, what: impl Display) -> Self {
        Self::Broken(law, what.to_string())
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Own(error)
    }
}

/// Walks below this directory, in a thread of its own, with somebody who looks whether it still
/// moves: a call that blocks its thread is one that nobody can give up.
///
/// # Errors
///
/// The suite's own.
pub(crate) fn walk_watched(
    backend: &BoxBackend,
    dir: &Path,
    plan: &Plan,
) -> io::Result<ScriptOutcome> {
    let pulse = Arc::new(Pulse::default());
    let (arrived, arrival) = mpsc::channel();
    let (backend, dir) = (backend.clone(), dir.to_owned());
    let (its_plan, its_pulse) = (plan.clone(), pulse.clone());
    let walker = thread::spawn(move || {
        // Nobody listens any more to whoever was given up.
        arrived
            .send(walk_with(&backend, &dir, &its_plan, &its_pulse))
            .ok();
    });
    loop {
        match arrival.recv_timeout(Duration::from_millis(100)) {
            Ok(arrival) => {
                walker.join().ok();
                return arrival;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the walk itself panicked"));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(law) = pulse.stopped(plan.patience * 2) {
                    return Ok(ScriptOutcome::Broken {
                        law,
                        what: format!(
                            "a call blocks its thread: it has not returned for {:?}",
                            plan.patience * 2
                        ),
                        trace: Vec::new(),
                    });
                }
            }
        }
    }
}

fn walk_with(
    backend: &BoxBackend,
    dir: &Path,
    plan: &Plan,
    pulse: &Pulse,
) -> io::Result<ScriptOutcome> {
    let mut walker = Walker::new(backend, dir, plan, pulse)?;
    let walked = walker.begin().and_then(|()| {
        while walker.steps() < plan.steps && !walker.is_over() {
            walker.step()?;
        }
        walker.end()
    });
    match walked {
        Ok(()) => Ok(ScriptOutcome::Done {
            steps: walker.steps(),
        }),
        Err(Halt::Broken(law, what)) => {
            let trace = walker.trace();
            // What was found broken may panic, or hang, once more.
            std::mem::forget(walker);
            Ok(ScriptOutcome::Broken { law, what, trace })
        }
        Err(Halt::Own(error)) => Err(error),
    }
}

/// Whether something still moves: the number of calls that began or ended, and whether the present
/// one is a wait's.
#[derive(Debug, Default)]
struct Pulse {
    beats: AtomicU64,
    waits: AtomicBool,
    seen: AtomicU64,
    since: std::sync::Mutex<Option<Instant>>,
}

impl Pulse {
    fn beat(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// The law that is broken if there was no beat for so long.
    fn stopped(&self, patience: Duration) -> Option<Law> {
        let beats = self.beats.load(Ordering::Relaxed);
        let mut since = self
            .since
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.seen.swap(beats, Ordering::Relaxed) != beats {
            *since = None;
        }
        let since = since.get_or_insert_with(Instant::now);
        let stands = since.elapsed() > patience;
        let law = if self.waits.load(Ordering::Relaxed) {
            Law::CancelSafety
        } else {
            Law::Liveness
        };
        stands.then_some(law)
    }
}

impl Style {
    pub(crate) const ALL: [Self; 4] = [Self::Crowded, Self::Everywhere, Self::Mixed, Self::Worn];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Everywhere => "everywhere",
            Self::Mixed => "mixed",
            Self::Worn => "worn",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.name() == name)
    }
}

/// Makes a directory for lock files, where there are directories: a backend that is in memory, and
/// one that does not claim that its files are real, may have names only.
pub(crate) fn make_directory(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    // The files of simulated worlds are below the root.
    if parent == Path::new("/") || !parent.is_dir() {
        return Ok(());
    }
    fs::create_dir(dir)
}

/// Which capabilities a backend claims now.
fn claims(backend: &BoxBackend) -> touchfile_core::Capabilities {
    backend.capabilities()
}

#[cfg(test)]
mod tests {
    use touchfile_flock::FlockBackend;
    use touchfile_mock::World;

    use super::*;

    fn plan(style: Style, seed: u64) -> Plan {
        Plan {
            style,
            seed,
            steps: 2_000,
            time: Duration::from_secs(2),
            patience: Duration::from_secs(20),
        }
    }

    #[test]
    fn an_honest_backend_gets_through_walks_of_every_style() {
        let dir = tempfile::tempdir().unwrap();
        for style in Style::ALL {
            for (seed, backend) in [
                (1, BoxBackend::new(FlockBackend::new())),
                (2, BoxBackend::new(World::new().process("a"))),
            ] {
                let dir = dir.path().join(format!("{}-{seed}", style.name()));
                std::fs::create_dir(&dir).unwrap();
                let arrival = walk_watched(&backend, &dir, &plan(style, seed)).unwrap();
                let ScriptOutcome::Done { steps } = arrival else {
                    panic!("{arrival:#?}");
                };
                assert!(steps > 10);
            }
        }
    }
}
