//! The handles of a walk.

use std::path::PathBuf;

use touchfile_core::LockMode;

use crate::handles::{Handle, Wait};

/// A handle on a file, and what the caller knows of it.
pub(super) struct Slot {
    /// Its number in traces.
    pub(super) name: u32,
    pub(super) file: usize,
    pub(super) path: PathBuf,
    /// Whether the path names another file by now.
    pub(super) stale: bool,
    pub(super) held: Option<LockMode>,
    /// Whether it may have a caller in the queue although it does not wait.
    pub(super) has_place: bool,
    pub(super) kept: Kept,
}

pub(super) enum Kept {
    Idle(Handle),
    Waiting {
        wait: Wait,
        mode: LockMode,
        /// The runtime in which the wait began. Only it drives the timers of the wait.
        runtime: usize,
    },
    /// A call uses the handle, or has panicked.
    Away,
}

impl Slot {
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.kept, Kept::Idle(_)) && self.held.is_none()
    }

    pub(super) fn waits_for(&self) -> Option<LockMode> {
        match &self.kept {
            Kept::Waiting { mode, .. } => Some(*mode),
            _ => None,
        }
    }
}
