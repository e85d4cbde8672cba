//! How a scenario ends.

use std::fmt::Display;

pub(crate) type Outcome = Result<(), Undone>;

/// Why a scenario did not pass.
#[derive(Debug)]
pub(crate) enum Undone {
    Failed(String),
    Skipped(String),
}

impl<E: Display> From<E> for Undone {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Fails a scenario unless a condition holds.
pub(crate) fn must(holds: bool, what: impl Into<String>) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(Undone::Failed(what.into()))
    }
}
