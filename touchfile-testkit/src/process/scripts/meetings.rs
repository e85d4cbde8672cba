//! Scripts of several threads, or several handles, that are written elsewhere.

use std::io;
use std::time::Duration;

use super::ScriptContext;
use crate::walk::make_directory;
use crate::{lasting, leftovers, meeting};

pub(super) fn try_at_once(context: &ScriptContext<'_>) -> io::Result<String> {
    let (rounds, time) = (context.number(0)?, milliseconds(context, 1)?);
    Ok(meeting::attempts(context.backend, context.path, rounds, time)?.to_text())
}

pub(super) fn release_early(context: &ScriptContext<'_>) -> io::Result<String> {
    let (rounds, time) = (context.number(0)?, milliseconds(context, 1)?);
    let (patience, seed) = (milliseconds(context, 2)?, context.number(3)?);
    let arrival =
        meeting::early_releases(context.backend, context.path, rounds, time, patience, seed)?;
    Ok(arrival.to_text())
}

pub(super) fn convert(context: &ScriptContext<'_>) -> io::Result<String> {
    Ok(meeting::conversions(context.backend, context.path, context.number(0)?)?.to_text())
}

pub(super) fn hold_for_long(context: &ScriptContext<'_>) -> io::Result<String> {
    let time = milliseconds(context, 0)?;
    Ok(lasting::lasting(context.backend, &beside(context, "held"), time)?.to_text())
}

pub(super) fn leave_behind(context: &ScriptContext<'_>) -> io::Result<String> {
    let patience = milliseconds(context, 0)?;
    let dir = beside(context, "left");
    make_directory(&dir)?;
    Ok(leftovers::leftovers(context.backend, &dir, patience)?.to_text())
}

fn beside(context: &ScriptContext<'_>, name: &str) -> std::path::PathBuf {
    context.path.with_file_name(name)
}

fn milliseconds(context: &ScriptContext<'_>, at: usize) -> io::Result<Duration> {
    Ok(Duration::from_millis(context.number(at)?))
}
