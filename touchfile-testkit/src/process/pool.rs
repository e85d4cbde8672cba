//! Workers that wait for the next case: a new process costs 200 times what a step does.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Answer, Command, Launch, Process};

/// How long a worker may take to let go of everything.
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

    /// What its workers call the directory that is called `path` here.
    pub(crate) fn seen_there(&self, path: &Path) -> PathBuf {
        self.launch.seen_there(path)
    }

    /// A worker with nothing open: an idle one, or a new process.
    pub(crate) fn take(&self) -> Result<Process, String> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| self.take_new(), Ok)
    }

    /// A new process, for where it matters what it has open.
    pub(crate) fn take_new(&self) -> Result<Process, String> {
        Process::launch(&self.launch)
    }

    /// Gives a worker back, which must not be busy. One that cannot let go of all it has is ended.
    pub(crate) fn give_back(&self, mut process: Process) {
        if process.ask(&Command::Reset, RESET) == Ok(Answer::Done) {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(process);
        }
    }
}
