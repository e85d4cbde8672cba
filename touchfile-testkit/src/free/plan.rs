//! The plan of one race, which is sent to its workers.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every process of one race does. Each derives its own random numbers from it.
///
/// On files with an even number waits may be given up, on the others not. A wait that was given up may
/// have held the lock for a moment, which cannot be known, and so explains every "busy" at the same
/// time. Only where no wait is given up can every "busy" be judged.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// The seed of all random choices.
    pub(crate) seed: u64,
    /// How long the processes begin new calls. They end a little later, after the last waits.
    pub(crate) duration: Duration,
    /// The number of lock files.
    pub(crate) files: u32,
    /// The number of tasks of each process, each of which uses one handle at a time.
    pub(crate) tasks: u32,
    /// How many of 100 acquisitions are single attempts.
    pub(crate) tries: u32,
    /// How many of 100 acquisitions wait with a timeout, on even files.
    pub(crate) timeouts: u32,
    /// How many of 100 acquisitions are waits that are dropped after a few polls, on even files.
    pub(crate) cancels: u32,
    /// How many of 100 acquisitions are shared. It is 0 for a backend without shared locks.
    pub(crate) shared: u32,
    /// How many of 100 releases drop the handle and do not unlock it.
    pub(crate) drops: u32,
    /// The longest time for which a lock is held on purpose.
    pub(crate) longest_hold: Duration,
    /// The longest timeout.
    pub(crate) longest_timeout: Duration,
    /// Whether holders use the [witness](super::Witness). It needs a real directory and real
    /// processes, since a simulated kill does not stop the code of a process.
    pub(crate) witness: bool,
    /// The directory of the lock files and the witnesses.
    #[serde(with = "crate::process::any_path")]
    pub(crate) dir: PathBuf,
}

impl Plan {
    /// The usual plan: one second, two files, and three tasks for each process.
    pub(crate) fn new(dir: impl Into<PathBuf>, seed: u64) -> Self {
        Self {
            seed,
            duration: Duration::from_secs(1),
            files: 2,
            tasks: 3,
            tries: 50,
            timeouts: 15,
            cancels: 15,
            shared: 40,
            drops: 30,
            longest_hold: Duration::from_millis(2),
            longest_timeout: Duration::from_millis(20),
            witness: true,
            dir: dir.into(),
        }
    }

    /// The path of the lock file with this number.
    pub(crate) fn lock_path(&self, file: u32) -> PathBuf {
        self.dir.join(format!("free-{file}.lock"))
    }

    /// Whether waits on this file may be given up.
    pub(super) fn gives_up_on(&self, file: u32) -> bool {
        file % 2 == 0
    }
}
