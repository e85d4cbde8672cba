//! What the argument parser answers: help, the version and usage errors.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};

use crate::exit::{Failure, USAGE, say};
use crate::output;

/// Prints the answer of the argument parser: help, the version or a usage error of `command`.
pub(crate) fn with_clap(answer: &clap::Error, command: &str) -> ExitCode {
    let is_help = answer.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !answer.use_stderr() {
        let printed = output::conclude(answer.print());
        return printed.map_or_else(Failure::report, |()| ExitCode::SUCCESS);
    }
    if is_help {
        // A failure to write to standard error cannot be reported.
        answer.print().ok();
    } else {
        let what = in_one_line(&answer.to_string());
        let hint = hint(answer, command).map_or_else(String::new, |hint| format!("; {hint}"));
        say(&format!("{what}{hint}; see '{command} --help'"));
    }
    ExitCode::from(USAGE)
}

/// A hint for users of another program.
fn hint(error: &clap::Error, command: &str) -> Option<&'static str> {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    match (command, given.as_str()) {
        ("touchfile run", "-c" | "--command") => {
            Some("write -- sh -c 'COMMAND' after the lock file")
        }
        ("touchfile run", "-F" | "--no-fork") => Some("write --exec"),
        ("touchfile run", "-k") => Some("write --kill-after DUR"),
        ("touchfile run", "-t") => Some("write --timeout DUR"),
        ("touchfile run", "-u" | "--unlock" | "--fd" | "--start" | "--length" | "--fcntl") => {
            Some("'touchfile flock' has it")
        }
        _ => None,
    }
}

/// The error of the command line in one line, from the several paragraphs of clap.
fn in_one_line(error: &str) -> String {
    let what = error.split("\n\nUsage: ").next().unwrap_or(error);
    let what = what.split("\n\nFor more information").next();
    let what = what.unwrap_or(error);
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let lines = what.lines().map(str::trim);
    // The tip to pass the word as a value is left out, since the word would be a file or part of COMMAND.
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("tip: to pass "));
    let lines: Vec<&str> = lines.collect();
    lines.join(" ").replace(" tip: ", "; ")
}
