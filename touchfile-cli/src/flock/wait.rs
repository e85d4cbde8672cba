//! Waits for a lock, with and without a time limit.
//!
//! Without a limit the system call blocks in the kernel. Any signal ends the process and leaves nothing
//! behind.
//!
//! With a limit the call has to be interrupted. Only a signal handler without `SA_RESTART` can do that,
//! and no safe interface installs one. So a second process of this program waits, with the same open file
//! description, so that both processes share its locks. In the end that process is killed, and one last
//! attempt shows whether the lock is held. So the lock cannot be taken after the time is over.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::io::FdFlags;

use super::numbers::WaitLimit;
use super::options::{Plan, for_waiter};
use crate::child::{Child, Launch};

/// The pause between two attempts if no second process can be started.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Takes the lock on `file`, and returns whether it is held. A process that is started has the file as
/// descriptor `number`.
pub(super) fn acquire(plan: &Plan, file: &OwnedFd, number: RawFd) -> io::Result<bool> {
    match plan.limit {
        WaitLimit::Unlimited => plan.kind.wait(file, plan.mode).map(|()| true),
        WaitLimit::Time(time) => within(time, plan, file, number),
        WaitLimit::None | WaitLimit::Unfit => plan.kind.attempt(file, plan.mode),
    }
}

fn within(time: Duration, plan: &Plan, file: &OwnedFd, number: RawFd) -> io::Result<bool> {
    // A deadline that cannot be represented is no limit.
    let Some(deadline) = Instant::now().checked_add(time) else {
        return plan.kind.wait(file, plan.mode).map(|()| true);
    };
    if plan.kind.attempt(file, plan.mode)? {
        return Ok(true);
    }
    if let Ok((mut waiter, ended)) = start(plan, number) {
        let over = until_closed(&ended, deadline);
        waiter.send(Signal::SIGKILL).ok();
        // If SIGCHLD is ignored, there is no exit status, but the process has ended all the same.
        waiter.wait().ok();
        over?;
    }
    // Now the second process has the lock, the time is over, or the process could not be started.
    loop {
        if plan.kind.attempt(file, plan.mode)? {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        thread::sleep(left.min(RETRY_INTERVAL));
    }
}

/// Starts the process that waits, and a pipe that is closed when it ends.
fn start(plan: &Plan, number: RawFd) -> io::Result<(Child, File)> {
    let (ended, held) = io::pipe()?;
    rustix::io::fcntl_setfd(&held, FdFlags::empty())?;
    let words = for_waiter(plan, process::id(), number);
    let waiter = Launch::new(&words)
        .program(Path::new("/proc/self/exe"))
        .start()?;
    Ok((waiter, File::from(OwnedFd::from(ended))))
}

fn until_closed(pipe: &File, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // The time is rounded up, so that the loop does not spin in the last millisecond.
        let left = left.as_millis().saturating_add(1);
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut pipes = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        match poll(&mut pipes, left) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lets the waiting process end with `parent`, so that it does not take a lock for a process that has
/// ended.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn end_with(parent: i32) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before that call.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        process::exit(1);
    }
    Ok(())
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn end_with(_parent: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
