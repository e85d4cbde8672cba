//! Workers that wait for the next case: a new process costs 200 times what a step does.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Answer, Command, Order, Worker};

/// How long a worker may take to let go of everything.
const RESET: Duration = Duration::from_secs(5);

/// The idle worker processes of one suite, at one place.
#[derive(Debug)]
pub(crate) struct Pool {
    command: Command,
    idle: Mutex<Vec<Worker>>,
}

impl Pool {
    pub(crate) fn new(command: Command) -> Self {
        Self {
            command,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// What its workers call the directory that is called `path` here.
    pub(crate) fn seen_there(&self, path: &Path) -> PathBuf {
        self.command.seen_there(path)
    }

    /// A worker with nothing open: an idle one, or a new process.
    pub(crate) fn take(&self) -> Result<Worker, String> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| self.take_new(), Ok)
    }

    /// A new process, for where it matters what it has open.
    pub(crate) fn take_new(&self) -> Result<Worker, String> {
        Worker::spawn(&self.command)
    }

    /// Gives a worker back, which must not be busy. One that cannot let go of all it has is ended.
    pub(crate) fn give_back(&self, mut worker: Worker) {
        if worker.ask(&Order::Reset, RESET) == Ok(Answer::Done) {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(worker);
        }
    }
}
