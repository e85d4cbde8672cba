//! `touchfile generate`: what packagers install beside the program.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

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
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

pub(crate) fn run(args: &Args, mut command: clap::Command) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "touchfile", &mut script);
            output::print(script)?;
        }
        What::Man { directory } => {
            let written = fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(command, directory));
            written.map_err(|error| Failure::man_pages(directory, &error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
