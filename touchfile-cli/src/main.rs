//! The `touchfile` command, which takes locks from a shell or from cron.
//!
//! Under the name `flock` it is flock(1).

mod child;
mod conformance;
mod doctor;
mod duration;
mod exit;
mod flock;
mod generate;
mod inherited;
mod init;
mod output;
mod paths;
mod progress;
mod run;
mod signals;
mod text;
mod who;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, Parser, Subcommand};

use exit::Failure;

/// The colours of help and errors. Clap uses them on a terminal, unless `NO_COLOR` is set.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    // The options of flock(1) are read as getopt_long(3) reads them.
    match words.as_slice() {
        [name, options @ ..] if Path::new(name).file_name() == Some(OsStr::new("flock")) => {
            return flock::run(options);
        }
        [_, command, options @ ..] if command == "flock" => return flock::run(options),
        _ => {}
    }
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(answer) => return exit::with_clap(&answer, &name_of_command(&words)),
    };
    let done = match cli.command {
        Command::Conformance(args) => conformance::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::DoctorExaminer(args) => doctor::examine(&args),
        Command::DoctorWorker(args) => doctor::worker::run(&args),
        Command::Flock(_) => return flock::run(words.get(2..).unwrap_or_default()),
        Command::Generate(args) => generate::run(&args, &Cli::command()),
        Command::LockKeeper(args) => run::keeper::run(&args),
        Command::Run(args) => run::run(args, &words),
        Command::Who(args) => who::run(&args),
    };
    done.unwrap_or_else(Failure::report)
}

/// The name of the command with these words, for a hint.
fn name_of_command(words: &[OsString]) -> String {
    let named = words.get(1).and_then(|word| word.to_str());
    match named.filter(|name| Cli::command().find_subcommand(name).is_some()) {
        Some(name) => format!("touchfile {name}"),
        None => "touchfile".to_owned(),
    }
}

const EXAMPLES: &str = "\
Examples:
  touchfile run /tmp/deploy.lock -- ./deploy.sh    # one at a time; a later one waits
  touchfile flock -n /tmp/backup.lock backup       # like flock(1), with its options
  touchfile who                                    # who holds which lock?
  touchfile conformance --dir /mnt/share           # do locks work there?

Exit status:
  64       wrong usage
  74       the output cannot be printed
  and those of each command, which its own help lists

Environment:
  NO_COLOR   Print nothing in colour, unless it is empty.
  TERM       On a dumb terminal, print nothing that has to be erased.";

/// Take turns with other processes by locking a file.
#[derive(Debug, Parser)]
#[command(name = "touchfile", version, arg_required_else_help = true, styles = STYLES)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Conformance(conformance::Args),
    Doctor(doctor::Args),
    #[command(hide = true)]
    DoctorExaminer(doctor::Args),
    #[command(hide = true)]
    DoctorWorker(doctor::worker::Args),
    Flock(flock::Args),
    #[command(hide = true)]
    Generate(generate::Args),
    #[command(hide = true)]
    LockKeeper(run::keeper::Args),
    Run(run::Args),
    Who(who::Args),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
