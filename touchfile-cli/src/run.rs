//! `touchfile run`: a command under a lock.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use touchfile::{Error, FlockBackend, Holder, LockGuard, LockMode, TouchFile};

use crate::child::Child;
use crate::exit::{self, Failure, say};
use crate::progress::Progress;
use crate::signals::{Event, Signals};

const EXAMPLES: &str = "\
Examples:
  # One at a time; whoever comes later waits.
  touchfile run /tmp/deploy.lock -- ./deploy.sh --all

  # From cron: not at all if the last run still goes on, and that is no failure.
  touchfile run --nonblock --conflict-exit-code 0 /tmp/backup.lock -- backup

  # Readers together, writers alone; give up after a minute and a half.
  touchfile run --shared --timeout 1m30s cache.lock -- ./use-cache
  touchfile run --timeout 1m30s cache.lock -- ./rebuild-cache

Exit status:
  that of COMMAND, or 128+n if signal n ended it;
  1 or N   the lock was not free (--nonblock) or not free in time (--timeout)
  64       wrong usage
  66, 73   the lock file cannot be opened, or not be created
  69       COMMAND cannot be run, or the file system cannot lock
  71, 74   the system failed
  75       a shortage that may pass";

const DETAILS: &str = "\
Run a command under a lock

LOCKFILE is created if it is missing, and is never written to or removed. The
lock is one of flock(2): it excludes every other program that uses flock(2) on
the same file, flock(1) among them.

The lock is held until COMMAND itself ends, even if processes that COMMAND left
in the background go on. If touchfile is killed with SIGKILL, the lock is
released at once and COMMAND goes on without it.

HUP, INT, QUIT, TERM, USR1 and USR2 are passed on to COMMAND; while the lock is
being waited for, they have their usual effect on touchfile. What a terminal
sends for Ctrl-C and Ctrl-\\ is not passed on: COMMAND has it from the terminal
itself.";

/// Run a command under a lock
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
#[command(override_usage = "touchfile run [OPTIONS] LOCKFILE -- COMMAND [ARG]...")]
pub(crate) struct Args {
    /// Hold the lock together with others that run with --shared, instead of alone
    #[arg(long)]
    shared: bool,

    /// Give up after this time, as in 250ms, 5s or 1m30s [default: wait for ever]
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,

    /// Give up at once if the lock is not free, and say nothing
    #[arg(long, conflicts_with = "timeout")]
    nonblock: bool,

    /// The exit status for giving up
    #[arg(long, value_name = "N", default_value_t = 1)]
    conflict_exit_code: u8,

    /// The file or directory to lock
    #[arg(value_name = "LOCKFILE")]
    path: OsString,

    /// What to run, with its arguments; the -- before it may be left out
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Takes the lock, runs the command, releases the lock.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.path.is_empty() {
        return Err(Failure::empty_path());
    }
    let progress = Progress::new();
    let touch = TouchFile::builder(FlockBackend::new()).path(Path::new(&args.path));
    let touch = progress.show_waits_of(touch).build()?;
    let guard = acquire(&touch, args);
    progress.finish();
    let guard = guard?;

    let ended = run_command(&args.command);

    // Before anything is said: the next in line need not wait for that.
    let released = guard.blocking_unlock();
    let status = ended?;
    match released {
        Err(error) if status.success() => Err(error.into()),
        // That the command failed matters more to whoever looks at the status.
        Err(error) => {
            Failure::from(error).report();
            Ok(exit::with_status(status))
        }
        Ok(()) => Ok(exit::with_status(status)),
    }
}

/// Until this returns, a signal ends the process as if it were any other: there is nothing to
/// clean up that the kernel does not, and so no handler that could get that wrong.
fn acquire<'a>(
    touch: &'a TouchFile<FlockBackend>,
    args: &Args,
) -> Result<LockGuard<'a, FlockBackend>, Failure> {
    let mode = if args.shared {
        LockMode::Shared
    } else {
        LockMode::Exclusive
    };
    let conflict = args.conflict_exit_code;
    match args.timeout {
        _ if args.nonblock => touch
            .blocking()
            .try_lock(mode)?
            .ok_or_else(|| Failure::conflict(conflict)),
        Some(timeout) => {
            touch
                .blocking()
                .lock_timeout(mode, timeout)
                .map_err(|error| match error {
                    Error::Timeout {
                        path,
                        mode,
                        holders,
                        ..
                    } => Failure::timeout(
                        conflict,
                        format!(
                            "gave up after {} waiting for the {mode} lock on {}{}",
                            humantime::format_duration(timeout),
                            path.display(),
                            Holder::in_words(&holders)
                                .map_or_else(String::new, |words| format!(", {words}")),
                        ),
                    ),
                    error => error.into(),
                })
        }
        None => Ok(touch.blocking().lock(mode)?),
    }
}

/// Runs the command and waits for its end, passing signals on to it.
fn run_command(command: &[OsString]) -> Result<ExitStatus, Failure> {
    let name = command
        .first()
        .map_or("".into(), |name| name.to_string_lossy());
    // Before the command exists, so that no signal falls between.
    let mut signals = Signals::listen().map_err(|error| Failure::signals(&error))?;
    let mut child = Child::start(command, signals.mask_before())
        .map_err(|error| Failure::spawn(&name, &error))?;
    signals.note_started();
    loop {
        let done = match signals.next() {
            Ok(Event::ChildChanged) => child.try_wait(),
            Ok(Event::Forward(signal)) => {
                if let Err(error) = child.send(signal) {
                    say(&format!("cannot pass {signal} on to {name}: {error}"));
                }
                Ok(None)
            }
            // Then signals are not passed on, but the lock is held for as long as it must be.
            Err(_) => child.wait().map(Some),
        };
        if let Some(status) = done.map_err(|error| Failure::wait(&name, &error))? {
            return Ok(status);
        }
    }
}
