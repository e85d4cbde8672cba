//! Random walks: one process makes random calls with handles, tens of thousands a second, and a
//! witness handle checks the lock after each step.
//!
//! Lock-step schedules are short, and each begins with handles that have no past. Walks find faults
//! that show only after a thousand locks of one handle, at the sixteenth reader, in a second thread or
//! runtime, on a path with `..`, or after a rare step. All calls are made in one process, one after the
//! other. So the right answer of each is known beforehand, unless one of [several waiters](settle) may
//! be the next.

mod attempts;
mod call;
mod caller;
mod convert;
mod expected;
mod files;
mod inherited;
mod openings;
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

use touchfile_core::BoxBackend;

use self::walker::Walker;
use crate::Law;
use crate::case::enough;
use crate::process::ScriptOutcome;

/// The style of a walk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// Many readers, many handles.
    Crowded,
    /// Paths and files of every kind.
    Everywhere,
    /// Calls of all kinds, on two files.
    Mixed,
    /// Handles that live long and have locked a thousand times before the walk.
    Worn,
}

/// The plan of a walk.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) style: Style,
    pub(crate) seed: u64,
    /// The number of steps, if there is time for them.
    pub(crate) steps: u64,
    /// The longest time of the walk.
    pub(crate) time: Duration,
    /// How soon a waiter must be granted a free lock.
    pub(crate) patience: Duration,
}

/// Why a walk ends early.
enum Halt {
    Broken(Law, String),
    /// The suite itself failed, with this error.
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

/// Walks in a directory, in a thread of its own, and checks from the calling thread that no call blocks
/// it. A call that blocks its thread cannot be given up.
///
/// # Errors
///
/// The suite's own.
pub(crate) fn walk_watched(
    backend: &BoxBackend,
    dir: &Path,
    plan: &Plan,
) -> io::Result<ScriptOutcome> {
    let progress = Arc::new(Progress::default());
    let (sender, outcome) = mpsc::channel();
    let (backend, dir) = (backend.clone(), dir.to_owned());
    let (its_plan, its_progress) = (plan.clone(), progress.clone());
    let walker = thread::spawn(move || {
        // If the walk was given up, nothing receives its outcome.
        sender
            .send(walk_with(&backend, &dir, &its_plan, &its_progress))
            .ok();
    });
    loop {
        match outcome.recv_timeout(Duration::from_millis(100)) {
            Ok(outcome) => {
                walker.join().ok();
                return outcome;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the walk itself panicked"));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(law) = progress.stopped(plan.patience * 2) {
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
    progress: &Progress,
) -> io::Result<ScriptOutcome> {
    let mut walker = Walker::new(backend, dir, plan, progress)?;
    let walked = walker.begin().and_then(|()| {
        while walker.steps() < plan.steps && !walker.is_over() {
            walker.step()?;
        }
        walker.end()
    });
    match walked {
        Ok(()) => {
            let (made, wanted) = walker.prepared;
            // What the walk found, or did not find, says nothing of handles that were not prepared.
            Ok(if enough(made, wanted).is_err() {
                ScriptOutcome::Done {
                    steps: made,
                    planned: wanted,
                }
            } else {
                ScriptOutcome::Done {
                    steps: walker.steps(),
                    planned: plan.steps,
                }
            })
        }
        Err(Halt::Broken(law, what)) => {
            let trace = walker.trace();
            // The broken backend may panic or hang again when its handles are dropped.
            std::mem::forget(walker);
            Ok(ScriptOutcome::Broken { law, what, trace })
        }
        Err(Halt::Own(error)) => Err(error),
    }
}

/// The progress of a walk: the number of calls that have begun or ended, and whether the present call
/// polls a wait.
#[derive(Debug, Default)]
struct Progress {
    calls: AtomicU64,
    waits: AtomicBool,
    seen: AtomicU64,
    since: std::sync::Mutex<Option<Instant>>,
}

impl Progress {
    fn record_call(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// The law that is broken, if no call has begun or ended for this time.
    fn stopped(&self, limit: Duration) -> Option<Law> {
        let calls = self.calls.load(Ordering::Relaxed);
        let mut since = self
            .since
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.seen.swap(calls, Ordering::Relaxed) != calls {
            *since = None;
        }
        let since = since.get_or_insert_with(Instant::now);
        let stands = since.elapsed() > limit;
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

/// Makes a directory for lock files, if the parent directory exists. The files of a backend in memory
/// may be only names.
pub(crate) fn make_directory(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    // The paths of a simulated world begin at the root.
    if parent == Path::new("/") || !parent.is_dir() {
        return Ok(());
    }
    fs::create_dir(dir)
}

#[cfg(test)]
mod tests {
    use crate::flock::FlockBackend;
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
                (1, BoxBackend::new(FlockBackend)),
                (2, BoxBackend::new(World::new().process("a"))),
            ] {
                let dir = dir.path().join(format!("{}-{seed}", style.name()));
                std::fs::create_dir(&dir).unwrap();
                let outcome = walk_watched(&backend, &dir, &plan(style, seed)).unwrap();
                let ScriptOutcome::Done { steps, .. } = outcome else {
                    panic!("{outcome:#?}");
                };
                assert!(steps > 10);
            }
        }
    }
}
