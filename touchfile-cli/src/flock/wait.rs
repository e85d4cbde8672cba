//! Waiting for a lock, for ever or for a time.
//!
//! Without a limit the wait is the kernel's: the call blocks, and any signal ends the process with
//! nothing left behind.
//!
//! With a limit it must be called off, and only a signal handler could do that, of a kind that no
//! safe interface installs. So another process waits: this program again, with the same open file
//! description, whose locks they share. It is killed in the end, whether it has the lock or not,
//! and one more attempt tells which it is. So there is no moment when the time is over and the
//! lock is taken all the same.

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

use super::numbers::Patience;
use super::options::{Plan, for_waiter};
use crate::child::{Child, Launch};

/// How often to try again where no other process can wait.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes the lock on `file`, which a process that is started has as `number`; says whether it has
/// it.
pub(super) fn acquire(plan: &Plan, file: &OwnedFd, number: RawFd) -> io::Result<bool> {
    match plan.patience {
        Patience::Endless => plan.kind.wait(file, plan.mode).map(|()| true),
        Patience::Time(time) => within(time, plan, file, number),
        Patience::None | Patience::Unfit => plan.kind.attempt(file, plan.mode),
    }
}

fn within(time: Duration, plan: &Plan, file: &OwnedFd, number: RawFd) -> io::Result<bool> {
    // A time beyond the end of time has none.
    let Some(deadline) = Instant::now().checked_add(time) else {
        return plan.kind.wait(file, plan.mode).map(|()| true);
    };
    if plan.kind.attempt(file, plan.mode)? {
        return Ok(true);
    }
    if let Ok((mut waiter, ended)) = start(plan, number) {
        let over = until_closed(&ended, deadline);
        waiter.send(Signal::SIGKILL).ok();
        // Where SIGCHLD is ignored, it leaves no status; it has ended all the same.
        waiter.wait().ok();
        over?;
    }
    // It has the lock by now, the time is over, or there is no such process.
    loop {
        if plan.kind.attempt(file, plan.mode)? {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        thread::sleep(left.min(PAUSE));
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
        // Rounded up, so as not to ask again and again in the last millisecond.
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

/// In the process that waits: ends with `parent`, so as not to take the lock for nobody.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn end_with(parent: i32) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        process::exit(1);
    }
    Ok(())
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn end_with(_parent: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
