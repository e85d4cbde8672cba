//! Scripts that call other modules of this crate.

use std::io;

use super::ScriptContext;
use crate::process::ScriptOutcome;
use crate::walk::make_directory;
use crate::{lasting, leftovers, meeting};

pub(super) fn try_at_once(context: &ScriptContext<'_>) -> io::Result<ScriptOutcome> {
    let (rounds, time) = (context.word(0)?, context.milliseconds(1)?);
    meeting::attempts(context.backend, context.path, rounds, time)
}

pub(super) fn release_early(context: &ScriptContext<'_>) -> io::Result<ScriptOutcome> {
    let (rounds, time) = (context.word(0)?, context.milliseconds(1)?);
    let (patience, seed) = (context.milliseconds(2)?, context.word(3)?);
    meeting::early_releases(context.backend, context.path, rounds, time, patience, seed)
}

pub(super) fn convert(context: &ScriptContext<'_>) -> io::Result<ScriptOutcome> {
    let (rounds, patience) = (context.word(0)?, context.milliseconds(1)?);
    meeting::conversions(context.backend, context.path, rounds, patience)
}

pub(super) fn hold_for_long(context: &ScriptContext<'_>) -> io::Result<ScriptOutcome> {
    let (time, patience) = (context.milliseconds(0)?, context.milliseconds(1)?);
    lasting::lasting(context.backend, &beside(context, "held"), time, patience)
}

pub(super) fn leave_behind(context: &ScriptContext<'_>) -> io::Result<ScriptOutcome> {
    let patience = context.milliseconds(0)?;
    let dir = beside(context, "left");
    make_directory(&dir)?;
    leftovers::leftovers(context.backend, &dir, patience)
}

fn beside(context: &ScriptContext<'_>, name: &str) -> std::path::PathBuf {
    context.path.with_file_name(name)
}
