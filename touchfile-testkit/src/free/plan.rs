//! The plan of one free run, which its workers follow.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every process of one free run does; with its number, each derives its own dice from it.
///
/// The files differ in character. On even ones everything happens; on odd ones nobody gives up
/// waiting. A wait that was given up may have held the lock for a moment, which nobody can know,
/// and so excuses every "busy" beside it: only where there is none of those are the answers of
/// attempts judged to the last one.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// Where all dice come from.
    pub(crate) seed: u64,
    /// How long the processes hammer. They end a little later: the last waiters get their turn.
    pub(crate) duration: Duration,
    /// How many lock files.
    pub(crate) files: u32,
    /// How many tasks of each process use a handle at once.
    pub(crate) tasks: u32,
    /// How many of 100 acquisitions are single attempts.
    pub(crate) tries: u32,
    /// How many of 100 acquisitions wait with a timeout, on even files.
    pub(crate) timeouts: u32,
    /// How many of 100 acquisitions are waits dropped after a few polls, on even files.
    pub(crate) cancels: u32,
    /// How many of 100 acquisitions are shared; 0 for a backend without shared locks.
    pub(crate) shared: u32,
    /// How many of 100 releases drop the handle, not unlock it.
    pub(crate) drops: u32,
    /// The longest time for which a lock is held on purpose.
    pub(crate) longest_hold: Duration,
    /// The longest timeout.
    pub(crate) longest_timeout: Duration,
    /// Whether holders use the [witness](super::Witness). Needs a real directory, and killed
    /// processes that are really dead: not for simulated kills.
    pub(crate) witness: bool,
    /// Where the lock files and the witnesses are.
    #[serde(with = "crate::process::any_path")]
    pub(crate) dir: PathBuf,
}

impl Plan {
    /// The usual mix, for one second on two files with three tasks for each process.
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
