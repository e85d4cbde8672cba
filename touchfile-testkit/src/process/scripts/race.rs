//! A worker's part in a free run.

use std::fs::File;
use std::io;

use super::ScriptContext;
use crate::free::{Plan, hammer};

/// Hammers by a plan, as process number so-and-so. The path is that of the log, which is written
/// line by line, so that a killed process leaves what it did.
pub(super) fn run(context: &ScriptContext<'_>) -> io::Result<String> {
    let plan: Plan = serde_json::from_str(&context.word::<String>(0)?)?;
    let mut log = File::create(context.path)?;
    let process = context.word(1)?;
    context
        .runtime
        .block_on(hammer(context.backend, &plan, process, &mut log))?;
    Ok("hammered".into())
}
