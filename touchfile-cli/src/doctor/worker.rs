//! The worker process of the doctor, which locks at the command of its parent.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use touchfile::{BlockingLockGuard, FcntlBackend, FlockBackend, LockBackend, LockMode, TouchFile};
use touchfile_testkit::worker::{Commands, reply};

use crate::exit::Failure;

/// The command that waits for the exclusive lock, for a number of milliseconds that follows.
pub(super) const WAIT: &str = "wait";
/// The command that releases the lock. Any other command is a mode, in which it tries to lock.
pub(super) const UNLOCK: &str = "unlock";

/// The replies. A reply that is none of them is an error.
pub(super) const ACQUIRED: &str = "acquired";
pub(super) const BUSY: &str = "busy";
pub(super) const RELEASED: &str = "released";

/// Execute lock commands from standard input, one a line, and reply to each
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[arg(value_enum)]
    backend: Backend,
    path: OsString,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Backend {
    Fcntl,
    Flock,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let path = Path::new(&args.path);
    let ended = match args.backend {
        Backend::Fcntl => execute_commands(&TouchFile::new(FcntlBackend::new(), path)?),
        Backend::Flock => execute_commands(&TouchFile::new(FlockBackend::new(), path)?),
    };
    // An error here means that the parent is gone, which needs no message.
    ended.ok();
    Ok(ExitCode::SUCCESS)
}

fn execute_commands<B: LockBackend>(touch: &TouchFile<B>) -> io::Result<()> {
    let mut held = None;
    for command in Commands::new()? {
        match execute(&command?, touch, &mut held) {
            Ok(result) => reply(result)?,
            Err(error) => reply(in_one_line(&*error))?,
        }
    }
    Ok(())
}

fn execute<'a, B: LockBackend>(
    command: &str,
    touch: &'a TouchFile<B>,
    held: &mut Option<BlockingLockGuard<'a, B>>,
) -> Result<&'static str, Box<dyn Error>> {
    let view = touch.blocking();
    let (word, time) = command.split_once(' ').unwrap_or((command, ""));
    if word == UNLOCK {
        held.take().map_or(Ok(()), BlockingLockGuard::unlock)?;
        return Ok(RELEASED);
    }
    let acquired = if word == WAIT {
        let time = Duration::from_millis(time.parse()?);
        match view.lock_timeout(LockMode::Exclusive, time) {
            Err(error) if error.is_timeout() => None,
            waited => Some(waited?),
        }
    } else {
        view.try_lock(word.parse()?)?
    };
    if acquired.is_none() {
        return Ok(BUSY);
    }
    *held = acquired;
    Ok(ACQUIRED)
}

fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    if let Some(cause) = error.source() {
        line = format!("{line}: {cause}");
    }
    line.replace('\n', " ")
}
