//! The keeper: the process that leaves a lock with a command which must not write to the lock file.
//!
//! A lock stays with a command because that inherits the descriptor on which the lock is. An exclusive
//! lock of fcntl(2) needs a descriptor that is open for writing, and a command of another user would be
//! able to write to the lock file through it. So such a command inherits the reading end of a pipe instead.
//! The keeper has the descriptors of the locks, and ends when nobody has that end of the pipe any
//! more: the lock stays for as long as it would have stayed with the command.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::{env, fs};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::fs::OFlags;
use rustix::io::FdFlags;

use crate::exit::Failure;

/// Signals that end a process, and are meant for the command.
const ENDING: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// What a keeper is started with.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Start another one, whose parent ends at once
    #[arg(long)]
    detach: bool,

    /// The descriptors of the locks
    locks: Vec<RawFd>,
}

/// Whether others could write to the file through this descriptor.
pub(super) fn is_writable(lock: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = rustix::fs::fcntl_getfl(lock)?;
    Ok(flags & OFlags::RWMODE != OFlags::RDONLY)
}

/// Starts a keeper of these locks, and returns what the command is to inherit.
///
/// The keeper is no child of this process: a process that becomes the command has none that the command
/// does not know of.
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
        .current_dir("/") // which it keeps from being unmounted
        .status();
    for lock in locks {
        rustix::io::fcntl_setfd(lock, FdFlags::CLOEXEC)?;
    }
    match ended?.success() {
        true => Ok(reading.into()),
        false => Err(io::Error::other("the process that would keep it has ended")),
    }
}

/// This program, whatever has become of its file.
fn keeper(numbers: &[OsString]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("touchfile").arg("lock-keeper").args(numbers);
    command
}

/// Keeps the locks until nobody has the other end of the pipe at standard input.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.detach {
        // The words as they came, but for the one that asks for this.
        let numbers: Vec<OsString> = env::args_os()
            .skip(2)
            .filter(|word| word != "--detach")
            .collect();
        let started = keeper(&numbers).spawn();
        return started
            .map(|_| ExitCode::SUCCESS)
            .map_err(|error| Failure::inherit(&error));
    }
    for signal in ENDING {
        signal_hook::flag::register(signal as i32, Arc::default()).ok();
    }
    // Signals for the group of a terminal are not for it either.
    rustix::process::setsid().ok();
    close_all_but(&args.locks).map_err(|error| Failure::inherit(&error))?;
    let stdin = io::stdin();
    loop {
        // The error is that there is no reader, and is told unasked.
        let mut pipe = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
        match poll(&mut pipe, PollTimeout::NONE) {
            Ok(_) => return Ok(ExitCode::SUCCESS),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Failure::inherit(&error.into())),
        }
    }
}

/// Closes what this process has inherited and does not need. Others may wait for the end of a pipe.
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
