//! Runs the command while the locks are held.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod watch;
#[cfg(windows)]
mod windows;

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use touchfile::LockBackend;

use super::locks::Held;
#[cfg(doc)]
use super::locks::VARIABLE;
#[cfg(unix)]
use super::on_lost::OnLost;
#[cfg(unix)]
pub(super) use unix::{Inheritable, exit_on_signals};
#[cfg(windows)]
pub(super) use windows::{Inheritable, exit_on_signals};

/// How to run the command.
#[derive(Debug)]
pub(super) struct Supervision<'a, B: LockBackend> {
    /// The locks.
    #[cfg(unix)]
    pub(super) held: &'a [Held<B>],
    /// The value of [`VARIABLE`] for the command, if it is set.
    pub(super) locks: Option<OsString>,
    /// The locks that the command keeps, or on Windows the locks with which it ends, if this process is killed.
    pub(super) inherited: &'a [Held<B>],
    /// How long the command may take to end after the first signal.
    pub(super) kill_after: Option<Duration>,
    /// How long the command may run before it receives SIGTERM, or on Windows is ended.
    pub(super) limit: Option<Duration>,
    /// What to do when a lock is lost. Without it nobody looks.
    #[cfg(unix)]
    pub(super) on_lost: Option<OnLost>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The command was sent SIGTERM, or on Windows ended, because its time was over.
    pub(super) over: bool,
    /// A lock was lost while the command ran.
    pub(super) lost: bool,
}
