//! What all handles of a mutant share.

use std::path::Path;

use touchfile_core::{BoxBackend, LockMode};

use super::Mutant;
use super::fault::Fault;
use super::side_effect::Op;
use super::state::{HandleState, ProcessState};

/// What all handles of a backend share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) mutant: Mutant,
    pub(super) honest: BoxBackend,
    pub(super) process: ProcessState,
}

impl Common {
    /// Whether this is the fault of the mutant and shows now.
    pub(super) fn shows(
        &self,
        fault: Fault,
        mode: Option<LockMode>,
        state: &HandleState,
        path: &Path,
    ) -> bool {
        let mutant = self.mutant;
        mutant.fault == fault
            && mutant.scope.concerns(mode, state)
            && mutant.trigger.fires(&self.process, state, path)
    }

    /// Has the side effect of this call, if that is the fault.
    pub(super) fn does(&self, op: Op, mode: Option<LockMode>, state: &HandleState, path: &Path) {
        if let Fault::Does(effect, _) = self.mutant.fault {
            if self.shows(Fault::Does(effect, op), mode, state, path) {
                effect.on(path);
            }
        }
    }
}
