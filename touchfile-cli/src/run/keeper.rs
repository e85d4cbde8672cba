//! The keeper: a process that keeps a lock for a command which must not write to the lock file.
//!
//! A command keeps a lock by inheriting its descriptor. An exclusive lock of fcntl(2) needs a descriptor
//! that is open for writing, through which a command of another user could write to the lock file. So such
//! a command inherits the reading end of a pipe instead. The keeper has the descriptors of the locks, and
//! ends when the last process with that end of the pipe has ended. So the lock is held as long as if the
//! command had inherited it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::{env, fs};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::OFlags;
use rustix::io::FdFlags;

use crate::exit::Failure;
use crate::signals::FORWARDED;

/// The arguments of a keeper.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Start another one, whose parent ends at once
    #[arg(long)]
    detach: bool,

    /// The descriptors of the locks
    locks: Vec<RawFd>,
}

/// Whether this descriptor is open for writing.
pub(super) fn is_writable(lock: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = rustix::fs::fcntl_getfl(lock)?;
    Ok(flags & OFlags::RWMODE != OFlags::RDONLY)
}

/// Starts a keeper of these locks, and returns the end of the pipe that the command inherits.
///
/// The keeper is no child of this process. If this process becomes the command, the command has no child
/// that it does not know.
pub(super) fn start(locks: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let (reading, writing) = io::pipe()?;
    for lock in locks {
        rustix::io::fcntl_setfd(lock, FdFlags::empty())?;
    }
    let numbers = locks.iter().map(|lock| lock.as_raw_fd().to_string().into());
    let numbers: Vec<OsString> = numbers.collect();
    let ended = keeper(&numbers)
        .arg("--detach")
        .stdin(writing)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/") // a file system with its current directory could not be unmounted
        .status();
    for lock in locks {
        rustix::io::fcntl_setfd(lock, FdFlags::CLOEXEC)?;
    }
    match ended?.success() {
        true => Ok(reading.into()),
        false => Err(io::Error::other("the process that would keep it has ended")),
    }
}

/// This program, even if its file was replaced or removed.
fn keeper(numbers: &[OsString]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("touchfile").arg("lock-keeper").args(numbers);
    command
}

/// Keeps the locks until no process has the other end of the pipe at standard input.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.detach {
        // The same arguments without the one that asks for this.
        let numbers: Vec<OsString> = env::args_os()
            .skip(2)
            .filter(|word| word != "--detach")
            .collect();
        let started = keeper(&numbers).spawn();
        return started
            .map(|_| ExitCode::SUCCESS)
            .map_err(|error| Failure::inherit(&error));
    }
    // They end a process, and are meant for the command.
    for signal in FORWARDED {
        signal_hook::flag::register(signal as i32, Arc::default()).ok();
    }
    // In a session of its own it receives no signals of a terminal.
    rustix::process::setsid().ok();
    close_all_but(&args.locks).map_err(|error| Failure::inherit(&error))?;
    let stdin = io::stdin();
    loop {
        // Poll reports the error that there is no reader even if it is not asked for.
        let mut pipe = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
        match poll(&mut pipe, PollTimeout::NONE) {
            Ok(_) => return Ok(ExitCode::SUCCESS),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Failure::inherit(&error.into())),
        }
    }
}

/// Closes the inherited descriptors that this process does not need. Other processes may wait for the end
/// of a pipe.
fn close_all_but(locks: &[RawFd]) -> io::Result<()> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for number in numbers {
        if number > 2 && !locks.contains(&number) {
            nix::unistd::close(number).ok(); // the directory is closed already
        }
    }
    Ok(())
}
