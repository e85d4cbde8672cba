//! What a script has found.

use serde::{Deserialize, Serialize};

use crate::Law;

/// The outcome of a script that judges by itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum ScriptOutcome {
    /// A law is broken.
    Broken {
        law: Law,
        what: String,
        /// What happened before, a line for each step.
        trace: Vec<String>,
    },
    /// Nothing was found in this number of steps, of those for which there should have been time.
    Done { steps: u64, planned: u64 },
}

impl ScriptOutcome {
    /// Nothing was found in this number of steps, which are all that were planned.
    pub(crate) fn done(steps: u64) -> Self {
        Self::Done {
            steps,
            planned: steps,
        }
    }
}
