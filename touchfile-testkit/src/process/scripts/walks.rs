//! Walks in this process and in forked children.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ScriptContext;
use crate::process::children::run_in_child;
use crate::process::command::{from_line, to_line};
use crate::process::{Answer, ScriptOutcome};
use crate::walk::{self, Plan, Style};

/// A walk. The arguments are the style, the seed, the number of steps, and the longest time and the
/// patience in milliseconds.
pub(super) fn walk(context: &ScriptContext<'_>) -> io::Result<ScriptOutcome> {
    let plan = plan(context)?;
    let dir = directory(context, &plan, "walk")?;
    walk::walk_watched(context.backend, &dir, &plan)
}

/// The same walk in each of three forked children, one after the other.
pub(super) fn walk_in_children(context: &ScriptContext<'_>) -> io::Result<Answer> {
    let (mut all, mut all_planned) = (0, 0);
    for child in 1..=3 {
        let mut plan = plan(context)?;
        plan.seed = plan.seed.wrapping_add(child);
        let dir = directory(context, &plan, &format!("child-{child}"))?;
        let file = dir.join("answer");
        let answer = run_in_child(|| {
            let walked = walk::walk_watched(context.backend, &dir, &plan);
            let answer = walked.map_or_else(|error| Answer::failed(&error), Answer::from);
            // The parent notices if the file is missing.
            fs::write(&file, to_line(&answer)).ok();
        });
        if answer != Answer::Done {
            return Ok(answer);
        }
        match from_line(&fs::read_to_string(&file)?).map_err(io::Error::other)? {
            Answer::Outcome(ScriptOutcome::Done { steps, planned }) => {
                all += steps;
                all_planned += planned;
            }
            Answer::Outcome(ScriptOutcome::Broken {
                law,
                what,
                mut trace,
            }) => {
                trace.insert(0, format!("in forked child number {child} of a process:"));
                return Ok(ScriptOutcome::Broken { law, what, trace }.into());
            }
            answer => return Ok(answer),
        }
    }
    Ok(ScriptOutcome::Done {
        steps: all,
        planned: all_planned,
    }
    .into())
}

fn plan(context: &ScriptContext<'_>) -> io::Result<Plan> {
    let style = context.words.first().and_then(|name| Style::named(name));
    Ok(Plan {
        style: style.ok_or_else(|| io::Error::other("there is no such walk"))?,
        seed: context.word(1)?,
        steps: context.word(2)?,
        time: context.milliseconds(3)?,
        patience: context.milliseconds(4)?,
    })
}

/// A new directory beside the usual lock file, or only its path, if the backend has no real files.
fn directory(context: &ScriptContext<'_>, plan: &Plan, name: &str) -> io::Result<PathBuf> {
    let parent = context.path.parent().unwrap_or(Path::new("/"));
    let dir = parent.join(format!("{name}-{}-{}", plan.style.name(), plan.seed));
    walk::make_directory(&dir)?;
    Ok(dir)
}
