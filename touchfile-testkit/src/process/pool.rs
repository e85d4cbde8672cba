//! Idle workers, which are kept for the next case: a new process takes 200 times as long as a step.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Answer, Command, Launch, Process};

/// How long a worker may take to drop everything.
const RESET: Duration = Duration::from_secs(5);

/// The idle worker processes of one suite, at one place.
#[derive(Debug)]
pub(crate) struct Pool {
    launch: Launch,
    idle: Mutex<Vec<Process>>,
}

impl Pool {
    pub(crate) fn new(launch: Launch) -> Self {
        Self {
            launch,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// The path at which its workers see `path`.
    pub(crate) fn seen_there(&self, path: &Path) -> PathBuf {
        self.launch.seen_there(path)
    }

    /// A worker with no handle: an idle one, or a new process.
    pub(crate) fn take(&self) -> Result<Process, String> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| self.take_new(), Ok)
    }

    /// A new process, for cases that count what a process has open.
    pub(crate) fn take_new(&self) -> Result<Process, String> {
        Process::launch(&self.launch)
    }

    /// Gives back a worker that executes no command. A worker that cannot drop everything is killed.
    pub(crate) fn give_back(&self, mut process: Process) {
        if process.ask(&Command::Reset, RESET) == Ok(Answer::Done) {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(process);
        }
    }
}
