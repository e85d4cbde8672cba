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
    /// Nothing was found in this number of steps.
    Done { steps: u64 },
}
