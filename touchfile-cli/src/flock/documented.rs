//! The options for completions and the man page. The module `options` parses them.

use std::ffi::OsString;

use clap::ValueHint;

/// Lock files as flock(1) of util-linux does, with the same options and exit statuses
///
/// A drop-in replacement for flock(1), also under its name by a link named flock. It locks FILE, which is
/// created if it is missing, runs COMMAND, and ends with its exit status. Or it locks an open file of the
/// shell by the number of its descriptor, and the lock is held until the descriptor is closed. See
/// flock(1).
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true, disable_version_flag = true)]
#[command(override_usage = "\
touchfile flock [OPTIONS] FILE|DIRECTORY COMMAND [ARG]...
       touchfile flock [OPTIONS] FILE|DIRECTORY -c COMMAND
       touchfile flock [OPTIONS] NUMBER
       touchfile flock [OPTIONS] --fd NUMBER [COMMAND [ARG]...]")]
#[command(after_help = super::STATUSES)]
pub(crate) struct Args {
    /// Get a shared lock
    #[arg(short, long)]
    shared: bool,

    /// Get an exclusive lock (the default)
    #[arg(short = 'x', long, short_alias = 'e')]
    exclusive: bool,

    /// Remove a lock
    #[arg(short, long)]
    unlock: bool,

    /// Fail rather than wait
    #[arg(short, long, aliases = ["nb", "nonblocking"])]
    nonblock: bool,

    /// Wait for a limited amount of time; fractions are allowed, and 0 is --nonblock
    #[arg(short = 'w', long, value_name = "SECONDS", alias = "wait")]
    timeout: Option<String>,

    /// The exit status after a conflict or a timeout [default: 1]
    #[arg(short = 'E', long, value_name = "NUMBER")]
    conflict_exit_code: Option<String>,

    /// Close the descriptor before running the command
    #[arg(short = 'o', long)]
    close: bool,

    /// Pass a single command string to $SHELL; it goes after FILE
    #[arg(short, long, value_name = "COMMAND")]
    command: Option<OsString>,

    /// Become the command, which then holds the lock itself
    #[arg(short = 'F', long)]
    no_fork: bool,

    /// Use an open file description lock of fcntl(2) and not flock(2)
    #[arg(long)]
    fcntl: bool,

    /// The first byte to lock; implies --fcntl
    #[arg(long, value_name = "OFFSET")]
    start: Option<String>,

    /// How many bytes to lock, or 0 for all after the first; implies --fcntl
    #[arg(long, value_name = "NUMBER")]
    length: Option<String>,

    /// Lock this open descriptor, and run a command if there is one
    #[arg(long, value_name = "NUMBER")]
    fd: Option<String>,

    /// Print how long it took to get the lock, or why it failed
    #[arg(long)]
    verbose: bool,

    /// Display help
    #[arg(short, long)]
    help: bool,

    /// Display the version
    #[arg(short = 'V', long)]
    version: bool,

    /// The file to lock, or the number of a descriptor
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    file: Option<OsString>,

    /// The command to run
    #[arg(
        value_name = "COMMAND",
        value_hint = ValueHint::CommandWithArguments,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<OsString>,
}
