//! `touchfile run`: runs a command under one or several locks.

mod args;
mod command;
#[cfg(windows)]
mod job;
#[cfg(unix)]
pub(crate) mod keeper;
mod locks;
mod on_lost;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use touchfile::{AutoBackend, LockBackend, LockMode};

use touchfile_file::Symlinks;

use crate::exit::{self, Failure};
use crate::progress::{OnWait, Progress};
pub(crate) use args::Args;
use args::Backend;
use command::{Ended, Inheritable, Supervision};
pub(crate) use locks::what;
use locks::{Held, WaitLimit, Wanted};

/// Takes the locks, runs the command and releases the locks. `words` is the whole command line.
pub(crate) fn run(mut args: Args, words: &[OsString]) -> Result<ExitCode, Failure> {
    let paths = args.split_off_paths(words)?;
    // Each lock needs a descriptor, and each wait needs a few.
    #[cfg(unix)]
    crate::inherited::raise_descriptor_limit();
    match args.backend {
        Backend::Auto => run_with(AutoBackend::new(), &args, &paths, way_of_auto),
        #[cfg(unix)]
        Backend::Fcntl => run_with(touchfile::FcntlBackend::new(), &args, &paths, |_| "fcntl"),
        #[cfg(unix)]
        Backend::Flock => run_with(touchfile::FlockBackend::new(), &args, &paths, |_| "flock"),
    }
}

#[cfg(unix)]
fn way_of_auto(held: &Held<AutoBackend>) -> &'static str {
    use touchfile::auto::Method;

    let method = held.handle().map(|handle| handle.raw().method());
    match method {
        Some(Method::Fcntl) => "fcntl",
        Some(Method::Flock) => "flock",
        _ => "auto",
    }
}

#[cfg(windows)]
fn way_of_auto(_: &Held<AutoBackend>) -> &'static str {
    "lockfileex"
}

fn run_with<B>(
    backend: B,
    args: &Args,
    paths: &[PathBuf],
    way: fn(&Held<B>) -> &'static str,
) -> Result<ExitCode, Failure>
where
    B: LockBackend + Clone,
    B::Handle: Inheritable,
{
    // Until the locks are held, signals have their usual effect. The kernel releases everything, so no
    // handler is needed.
    let exit_on_signals = command::exit_on_signals();
    let on_wait = args.on_wait.clone();
    let progress = Progress::new(on_wait.map(OnWait::new), args.quiet);
    let conflict = args.conflict_exit_code;
    let wanted = Wanted {
        mode: if args.shared {
            LockMode::Shared
        } else {
            LockMode::Exclusive
        },
        limit: match args.timeout {
            _ if args.nonblock => WaitLimit::None { conflict },
            Some(time) => WaitLimit::Time {
                time,
                conflict: args.lock_timeout_exit_code.unwrap_or(conflict),
            },
            None => WaitLimit::Unlimited,
        },
        symlinks: match (args.follow_symlinks, args.no_symlinks) {
            (true, _) => Symlinks::Follow,
            (false, true) => Symlinks::Refuse,
            (false, false) => Symlinks::NoFollow,
        },
        verbosity: args.verbosity(),
        jobs: args.jobs.map(usize::from),
    };
    let held = locks::acquire(&backend, paths, &wanted, &progress);
    progress.finish();
    let held = held?;

    let supervision = Supervision {
        #[cfg(unix)]
        held: &held,
        locks: args.env.then(|| locks::described(&held, way)),
        inherited: if args.no_inherit { &[] } else { &held },
        kill_after: args.kill_after,
        limit: args.limit,
        #[cfg(unix)]
        on_lost: args.on_lost.clone(),
    };
    if args.exec {
        return Err(supervision.replace_this_process(&args.command));
    }
    let ended = supervision.run(&args.command, exit_on_signals);

    // The locks are released before anything is printed, so that printing does not delay the next holder.
    let released = locks::release(held);
    let Ended { status, over, lost } = ended?;
    if lost {
        // What the command says of itself is worth nothing, and neither is the release.
        return Ok(exit::after_loss());
    }
    if over && !args.quiet {
        exit::say(&format!(
            "{} took too long, and was told to end",
            name(&args.command)
        ));
    }
    match released {
        Err(error) if status.success() && !over => Err(error.into()),
        // The exit status of a failed command is more important than the failed release.
        Err(error) => {
            Failure::from(error).report();
            Ok(exit::with_status(status, over))
        }
        Ok(()) => Ok(exit::with_status(status, over)),
    }
}

/// The name of a command for messages.
fn name(command: &[OsString]) -> String {
    let name = command.first().map(OsString::as_os_str);
    name.unwrap_or(OsStr::new(""))
        .to_string_lossy()
        .into_owned()
}
