//! A worker's part in a free run.

use std::fs::File;
use std::io;

use super::Set;
use crate::free::{Plan, hammer};

/// Hammers by a plan, as process number so-and-so. The path is that of the log, which is written
/// line by line, so that a killed process leaves what it did.
pub(super) fn run(set: &Set<'_>) -> io::Result<String> {
    let plan: Plan = set
        .words
        .first()
        .and_then(|line| line.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no plan: {:?}", set.words)))?;
    let mut log = File::create(set.path)?;
    let process = set.number(1)?;
    set.runtime
        .block_on(hammer(set.backend, &plan, process, &mut log))?;
    Ok("hammered".into())
}
