//! The script of a worker in a race.

use std::fs::File;
use std::io;

use super::ScriptContext;
use crate::free::{Plan, hammer};

/// Executes a plan as the process with this number.
///
/// The path of the script is that of the log. The log is written line by line, so that a killed
/// process leaves a log of its calls.
pub(super) fn run(context: &ScriptContext<'_>) -> io::Result<String> {
    let plan: Plan = serde_json::from_str(&context.word::<String>(0)?)?;
    let mut log = File::create(context.path)?;
    let process = context.word(1)?;
    context
        .runtime
        .block_on(hammer(context.backend, &plan, process, &mut log))?;
    Ok("done".into())
}
