//! The `touchfile` command: take turns with other processes, from a shell or from cron.
#![forbid(unsafe_code)]

mod child;
mod conformance;
mod doctor;
mod exit;
mod progress;
mod run;
mod signals;
mod who;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return exit::with_clap(&answer),
    };
    let done = match cli.command {
        Command::Conformance(args) => conformance::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::DoctorWorker(args) => doctor::worker::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Who(args) => who::run(&args),
    };
    done.unwrap_or_else(Failure::report)
}

/// Take turns with other processes by locking a file.
#[derive(Debug, Parser)]
#[command(name = "touchfile", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Conformance(conformance::Args),
    Doctor(doctor::Args),
    #[command(hide = true)]
    DoctorWorker(doctor::worker::Args),
    Run(run::Args),
    Who(who::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
