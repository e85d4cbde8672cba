//! The command line of `touchfile run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::locks::Verbosity;
use super::on_lost::{self, OnLost};
use crate::duration;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  # One at a time; a later one waits.
  touchfile run /tmp/deploy.lock -- ./deploy.sh --all

  # From cron: skip it if the last one still runs, with one line in the log.
  touchfile run -n -v -E 0 /tmp/backup.lock -- backup

  # Several readers or one writer; give up after a minute and a half.
  touchfile run --shared --timeout 1m30s cache.lock -- ./use-cache
  touchfile run --timeout 1m30s cache.lock -- ./rebuild-cache

  # Two locks: no deadlock, in whatever order they are given.
  touchfile run from.lock to.lock -- ./move-money

  # Up to four at a time.
  touchfile run --jobs 4 /tmp/encode.lock -- encode film.mkv

  # For an hour at most; in a service, as one process.
  touchfile run --limit 1h --kill-after 10s /tmp/backup.lock -- backup
  touchfile run --exec /run/lock/app.lock -- /usr/bin/app

  # On NFS: end the command if the server gives the lock away.
  touchfile run --on-lost TERM --kill-after 10s /mnt/share/a.lock -- ./import

  # Report a long wait; kill the command if it does not end after SIGTERM.
  touchfile run --on-wait 'logger still waiting' --kill-after 10s a.lock -- ./serve

Exit status:
  that of COMMAND, or 128+n if signal n ended it
  124      COMMAND was ended by --limit
  1 or N   a lock was not free (--nonblock) or not free in time (--timeout)
  64       wrong usage
  66, 73   a lock file cannot be opened, or not be created
  69       COMMAND cannot be run, or the file system cannot lock
  71, 74   the system failed; also 74: the lock was lost, and --on-lost was given
  75       a temporary shortage

Environment:
  TOUCHFILE_LOCKS     Set for COMMAND by --env: the held locks.
  TOUCHFILE_WAITING   Set for the command of --on-wait: the lock file.
  TOUCHFILE_LOST      Set for the command of --on-lost: the lock file.
  TOUCHFILE_PID       Set for the command of --on-lost: the process id of COMMAND.
  TERM                On a dumb terminal a wait is one line.";

#[cfg(windows)]
const DETAILS: &str = "\
Run a command under a lock

LOCKFILE is created if it is missing, and is never written to or removed. The
lock is one of LockFileEx on a byte far beyond the end of the file: it excludes
every other program that locks the whole file, and stops nobody from reading it.
Several lock files are locked one after the other, all or none, in an order that
depends on the files alone; one that is given twice, be it by another name, is
locked once.

The lock is held until COMMAND itself ends, even if processes that COMMAND left
in the background go on. No lock can be inherited: if touchfile is killed,
COMMAND and all that it started end with it; with --no-inherit they go on
without the lock. Ctrl-C and Ctrl-Break are for COMMAND while it runs. --limit
ends COMMAND and all that it started at once; --exec and --kill-after are for
systems with signals.";

#[cfg(unix)]
const DETAILS: &str = "\
Run a command under a lock

LOCKFILE is created if it is missing. It is never written to or removed. On a
local file system the lock is one of flock(2), which excludes every program that
uses flock(2) on the same file, such as flock(1). On a file system that other
hosts may share it is one of fcntl(2), which excludes these hosts, too. Several
lock files are locked one after the other, all or none, in an order that depends
on the files only. A file that is given twice, perhaps by another name, is
locked once.

The lock is held until COMMAND itself ends, even if processes that COMMAND has
started still run. If touchfile is killed with SIGKILL, the lock is held until
COMMAND and all processes that it has started have ended. With --no-inherit it
is released at once, and COMMAND continues without it.

COMMAND never inherits a descriptor that is open for writing, so that it can be
run as another user. It inherits that of flock(2) on a local file system, which
is open for reading. Through it, COMMAND can unlock the lock. For a lock of
fcntl(2), and where other hosts may have the file system, a small process beside
COMMAND has the lock file open for as long, even with --exec.

HUP, INT, QUIT, TERM, USR1 and USR2 are forwarded to COMMAND. While touchfile
waits for the lock, they have their usual effect on touchfile. The signals of
Ctrl-C and Ctrl-\\ are not forwarded, because the terminal sends them to
COMMAND, too.";

/// Run a command under a lock
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
#[command(override_usage = "touchfile run [OPTIONS] LOCKFILE... -- COMMAND [ARG]...")]
pub(crate) struct Args {
    /// Share the lock with others that run with --shared
    #[arg(short, long, overrides_with = "exclusive")]
    pub(super) shared: bool,

    /// Exclude all others (the default)
    #[arg(
        short = 'x',
        long,
        visible_short_alias = 'e',
        overrides_with = "shared"
    )]
    exclusive: bool,

    /// Run up to N at a time that are given the same LOCKFILE and --jobs; each has the lock on one of the
    /// files LOCKFILE.1 to LOCKFILE.N, and those who wait queue at LOCKFILE
    #[arg(short, long, value_name = "N", conflicts_with_all = ["shared", "follow_symlinks"])]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(super) jobs: Option<u16>,

    /// Give up after this time, in seconds such as 5 or 0.5, or with units such as 250ms or 1m30s
    /// [default: no limit]
    #[arg(short = 'w', long, value_name = "DUR", alias = "wait", value_parser = duration::parse)]
    pub(super) timeout: Option<Duration>,

    /// Give up at once if the lock is not free, without a message
    #[arg(short, long, aliases = ["nb", "nonblocking"], conflicts_with = "timeout")]
    pub(super) nonblock: bool,

    /// The exit status for giving up
    #[arg(short = 'E', long, value_name = "N", default_value_t = 1)]
    pub(super) conflict_exit_code: u8,

    /// The exit status for giving up after --timeout [default: that of --conflict-exit-code]
    #[arg(long, value_name = "N")]
    pub(super) lock_timeout_exit_code: Option<u8>,

    /// Report when --nonblock gives up, and who holds the lock
    #[arg(short, long, overrides_with = "quiet")]
    pub(super) verbose: bool,

    /// Report errors only, not waiting and giving up
    #[arg(short, long, overrides_with = "verbose")]
    pub(super) quiet: bool,

    /// The kind of lock; all programs that use a lock file must use the same
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = Backend::Auto)]
    pub(super) backend: Backend,

    /// If LOCKFILE is a symbolic link, lock its target; without this option a link is an error, since
    /// another user may have made it
    #[arg(long)]
    pub(super) follow_symlinks: bool,

    /// Refuse a LOCKFILE with a symbolic link anywhere in its path; another user who can write a
    /// directory of the path could make it lead elsewhere
    #[arg(long, conflicts_with = "follow_symlinks")]
    pub(super) no_symlinks: bool,

    /// Run CMD with /bin/sh once if the wait takes longer than a second, with the name of the lock file
    /// in TOUCHFILE_WAITING; touchfile does not wait for its end
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub(super) on_wait: Option<OsString>,

    /// If the lock is lost while COMMAND runs, send it SIGNAL, such as TERM, or run CMD with /bin/sh, with
    /// the lock file in TOUCHFILE_LOST and the process id of COMMAND in TOUCHFILE_PID; touchfile looks once
    /// a second, and its exit status is 74 then
    #[arg(long, value_name = "SIGNAL|CMD", value_hint = ValueHint::CommandString)]
    #[arg(value_parser = OsStringValueParser::new().try_map(on_lost::parse))]
    pub(super) on_lost: Option<OnLost>,

    /// Send SIGTERM to COMMAND if it runs for longer; then the exit status is 124, as with timeout(1)
    #[arg(long, value_name = "DUR", value_parser = duration::parse)]
    pub(super) limit: Option<Duration>,

    /// Kill COMMAND with SIGKILL if it still runs this time after --limit, after a loss that --on-lost is
    /// for, or after a forwarded HUP, INT, QUIT or TERM, as timeout(1) does
    #[arg(long, value_name = "DUR", value_parser = duration::parse)]
    pub(super) kill_after: Option<Duration>,

    /// Become COMMAND, which then holds the lock itself, until it and all processes that it has started
    /// have ended or closed the lock file
    #[arg(long, conflicts_with_all = ["no_inherit", "kill_after", "limit", "on_lost"])]
    pub(super) exec: bool,

    /// Set TOUCHFILE_LOCKS for COMMAND: a line "MODE flock|fcntl PATH" for each lock, after the lines of
    /// an outer touchfile; \n and \\ stand for a line feed and a \ in PATH
    #[arg(long)]
    pub(super) env: bool,

    /// Let COMMAND keep the lock if touchfile is killed (the default)
    #[arg(long, overrides_with = "no_inherit")]
    inherit: bool,

    /// Hold the lock in touchfile only; COMMAND does not have the lock file open
    #[arg(short = 'o', long, alias = "close", overrides_with = "inherit")]
    pub(super) no_inherit: bool,

    /// The files or directories to lock
    #[arg(value_name = "LOCKFILE", value_hint = ValueHint::AnyPath)]
    path: OsString,

    /// The command to run, with its arguments; the -- before it may be left out if there is one lock file
    /// and no other --
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    #[arg(value_hint = ValueHint::CommandWithArguments)]
    pub(super) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Backend {
    /// flock on a local file system, fcntl on one that other hosts may share; LockFileEx on Windows
    Auto,
    /// Open-file-description locks of fcntl(2)
    #[cfg(unix)]
    Fcntl,
    /// flock(2)
    #[cfg(unix)]
    Flock,
}

impl Args {
    /// Which ways of giving up are reported.
    pub(super) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        }
    }

    /// Splits the lock files from the command. All words up to the first `--` are lock files.
    ///
    /// The parser has removed a `--` directly after the first lock file. If there was none, `command`
    /// begins with the other lock files.
    pub(super) fn split_off_paths(&mut self, words: &[OsString]) -> Result<Vec<PathBuf>, Failure> {
        let before = words.len().checked_sub(self.command.len() + 1);
        let eaten = before.is_some_and(|before| words[before] == "--");
        let mut paths = vec![PathBuf::from(&self.path)];
        if !eaten && let Some(end) = self.command.iter().position(|word| word == "--") {
            let more: Vec<OsString> = self.command.drain(..=end).collect();
            for path in &more[..end] {
                if path.as_encoded_bytes().starts_with(b"-") {
                    return Err(Failure::usage(format!(
                        "{} comes after a lock file: put options first, and ./ before a name like that",
                        path.to_string_lossy()
                    )));
                }
                paths.push(path.into());
            }
        }
        if self.command.is_empty() {
            return Err(Failure::usage(
                "there is no command after --; give one, as in 'touchfile run a.lock -- make'"
                    .into(),
            ));
        }
        if paths.iter().any(|path| path.as_os_str().is_empty()) {
            return Err(Failure::empty_path());
        }
        if self.jobs.is_some() && paths.len() > 1 {
            let why = "--jobs is for one lock file; see 'touchfile run --help'";
            return Err(Failure::usage(why.into()));
        }
        Ok(paths)
    }
}
