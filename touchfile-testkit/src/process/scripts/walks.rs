//! Walks, here and in forked children.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ScriptContext;
use crate::process::Answer;
use crate::process::children::run_in_child;
use crate::walk::{self, Arrival, Plan, Style};

/// A walk of this style, with this seed, of so many steps and milliseconds at most, with so many of
/// patience.
pub(super) fn walk(context: &ScriptContext<'_>) -> io::Result<String> {
    let plan = plan(context)?;
    let dir = directory(context, &plan, "walk")?;
    Ok(walk::walk_watched(context.backend, &dir, &plan)?.to_text())
}

/// The same in each of three forked children, one after the other.
pub(super) fn walk_in_children(context: &ScriptContext<'_>) -> io::Result<String> {
    let mut all = 0;
    for child in 1..=3 {
        let mut plan = plan(context)?;
        plan.seed = plan.seed.wrapping_add(child);
        let dir = directory(context, &plan, &format!("child-{child}"))?;
        let file = dir.join("arrival");
        let answer = run_in_child(|| {
            let text = match walk::walk_watched(context.backend, &dir, &plan) {
                Ok(arrival) => arrival.to_text(),
                Err(error) => format!("failed {error}"),
            };
            // If it cannot be written, it will not be there.
            fs::write(&file, text).ok();
        });
        match answer {
            Answer::Done => {}
            Answer::Unable(why) => return Ok(format!("unable {why}")),
            answer => return Err(io::Error::other(format!("{answer:?}"))),
        }
        let text = fs::read_to_string(&file)?;
        match Arrival::from_text(&text) {
            Some(Arrival::Done { steps }) => all += steps,
            Some(Arrival::Broken {
                law,
                what,
                mut story,
            }) => {
                story.insert(0, format!("in forked child number {child} of a process:"));
                return Ok(Arrival::Broken { law, what, story }.to_text());
            }
            None => return Err(io::Error::other(text)),
        }
    }
    Ok(Arrival::Done { steps: all }.to_text())
}

fn plan(context: &ScriptContext<'_>) -> io::Result<Plan> {
    let style = context.words.first().and_then(|name| Style::named(name));
    Ok(Plan {
        style: style.ok_or_else(|| io::Error::other("there is no such walk"))?,
        seed: context.number(1)?,
        steps: context.number(2)?,
        time: Duration::from_millis(context.number(3)?),
        patience: Duration::from_millis(context.number(4)?),
    })
}

/// A new directory beside the usual lock file; or a name for one, if files are mere names.
fn directory(context: &ScriptContext<'_>, plan: &Plan, name: &str) -> io::Result<PathBuf> {
    let parent = context.path.parent().unwrap_or(Path::new("/"));
    let dir = parent.join(format!("{name}-{}-{}", plan.style.name(), plan.seed));
    walk::make_directory(&dir)?;
    Ok(dir)
}
