//! The `touchfile` command, which takes locks from a shell or from cron.
//!
//! Under the name `flock` it is flock(1).

#[cfg(unix)]
mod child;
mod conformance;
#[cfg(unix)]
mod doctor;
mod duration;
#[cfg(windows)]
mod elsewhere;
mod exit;
#[cfg(unix)]
mod flock;
mod generate;
#[cfg(unix)]
mod inherited;
#[cfg(unix)]
mod init;
mod output;
mod paths;
mod progress;
mod run;
#[cfg(unix)]
mod signals;
mod text;
mod usage;
#[cfg(unix)]
mod who;

use std::env;
use std::ffi::OsString;
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
    #[cfg(unix)]
    if let Some(options) = options_of_flock(&words) {
        return flock::run(options);
    }
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(answer) => return usage::with_clap(&answer, &name_of_command(&words)),
    };
    let done = match cli.command {
        Command::Conformance(args) => conformance::run(&args),
        #[cfg(unix)]
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(unix)]
        Command::DoctorExaminer(args) => doctor::examine(&args),
        #[cfg(unix)]
        Command::DoctorWorker(args) => doctor::worker::run(&args),
        #[cfg(unix)]
        Command::Flock(_) => return flock::run(words.get(2..).unwrap_or_default()),
        #[cfg(windows)]
        Command::Doctor(_) => Err(Failure::elsewhere("doctor", "Unix")),
        #[cfg(windows)]
        Command::Flock(_) => Err(Failure::elsewhere("flock", "Unix")),
        Command::Generate(args) => generate::run(&args, &Cli::command()),
        #[cfg(unix)]
        Command::LockKeeper(args) => run::keeper::run(&args),
        Command::Run(args) => run::run(args, &words),
        #[cfg(unix)]
        Command::Who(args) => who::run(&args),
        #[cfg(windows)]
        Command::Who(_) => Err(Failure::elsewhere("who", "Linux")),
    };
    done.unwrap_or_else(Failure::report)
}

/// The options of flock(1), which are read as getopt_long(3) reads them, if the command is flock(1).
#[cfg(unix)]
fn options_of_flock(words: &[OsString]) -> Option<&[OsString]> {
    use std::ffi::OsStr;
    use std::path::Path;

    match words {
        [name, options @ ..] if Path::new(name).file_name() == Some(OsStr::new("flock")) => {
            Some(options)
        }
        [_, command, options @ ..] if command == "flock" => Some(options),
        _ => None,
    }
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
    #[cfg(unix)]
    Doctor(doctor::Args),
    #[cfg(unix)]
    #[command(hide = true)]
    DoctorExaminer(doctor::Args),
    #[cfg(unix)]
    #[command(hide = true)]
    DoctorWorker(doctor::worker::Args),
    #[cfg(unix)]
    Flock(flock::Args),
    #[cfg(windows)]
    #[command(hide = true)]
    Doctor(elsewhere::Args),
    #[cfg(windows)]
    #[command(hide = true)]
    Flock(elsewhere::Args),
    #[command(hide = true)]
    Generate(generate::Args),
    #[cfg(unix)]
    #[command(hide = true)]
    LockKeeper(run::keeper::Args),
    Run(run::Args),
    #[cfg(unix)]
    Who(who::Args),
    #[cfg(windows)]
    #[command(hide = true)]
    Who(elsewhere::Args),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
