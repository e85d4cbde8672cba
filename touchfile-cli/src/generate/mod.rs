//! `touchfile generate`: makes shell completions and man pages for packages.

mod completions;
mod man;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Command, ValueHint};
use clap_complete::Shell;

use crate::exit::Failure;
use crate::output;

/// Generate shell completions and man pages
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages, in section 1
    Man {
        /// The directory to write them to
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

pub(crate) fn run(args: &Args, command: &Command) -> Result<ExitCode, Failure> {
    let command = visible(command);
    match &args.what {
        What::Completions { shell } => output::print(completions::of(command, *shell))?,
        What::Man { directory } => {
            let written = man::write(command, directory);
            written.map_err(|error| Failure::man_pages(directory, &error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line without its hidden commands.
fn visible(program: &Command) -> Command {
    let commands = program.get_subcommands();
    let mut visible = Command::new("touchfile")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(commands.filter(|command| !command.is_hide_set()).cloned());
    if let Some(about) = program.get_about() {
        visible = visible.about(about.clone());
    }
    if let Some(help) = program.get_after_help() {
        visible = visible.after_help(help.clone());
    }
    visible
}
