//! A process that locks as it is told: the doctor's hands.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use touchfile::{BlockingLockGuard, FcntlBackend, FlockBackend, LockBackend, LockMode, TouchFile};

use crate::exit::Failure;

/// Locks as standard input says, a word a line: `exclusive` and `shared` try, `wait MS` waits for
/// the exclusive lock, `unlock` releases. Each is answered by a line.
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
    match args.backend {
        Backend::Fcntl => obey(TouchFile::new(FcntlBackend::new(), Path::new(&args.path))?),
        Backend::Flock => obey(TouchFile::new(FlockBackend::new(), Path::new(&args.path))?),
    }
    Ok(ExitCode::SUCCESS)
}

fn obey<B: LockBackend>(touch: TouchFile<B>) {
    let mut held = None;
    for order in io::stdin().lines() {
        let Ok(order) = order else { return };
        let view = touch.blocking();
        let lock = match order.split_once(' ') {
            Some((_wait, ms)) => {
                let patience = Duration::from_millis(ms.parse().unwrap_or_default());
                match view.lock_timeout(LockMode::Exclusive, patience) {
                    Err(error) if error.is_timeout() => Ok(None),
                    waited => waited.map(Some),
                }
            }
            None if order == "exclusive" => view.try_lock(LockMode::Exclusive),
            None if order == "shared" => view.try_lock(LockMode::Shared),
            None => {
                let guard: Option<BlockingLockGuard<'_, B>> = held.take();
                guard
                    .map_or(Ok(()), BlockingLockGuard::unlock)
                    .map(|()| None)
            }
        };
        let answer = match lock {
            Ok(Some(guard)) => {
                held = Some(guard);
                "acquired".to_owned()
            }
            Ok(None) if order == "unlock" => "released".to_owned(),
            Ok(None) => "busy".to_owned(),
            Err(error) => in_one_line(&error),
        };
        if writeln!(io::stdout(), "{answer}").is_err() {
            return;
        }
    }
}

fn in_one_line(error: &touchfile::Error) -> String {
    let mut line = error.to_string();
    if let Some(cause) = error.source() {
        line = format!("{line}: {cause}");
    }
    line.replace('\n', " ")
}
