//! Unix.

use std::ffi::OsString;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use rustix::time::{ClockId, clock_gettime};

use crate::countdown::Countdown;

pub(crate) use std::os::unix::fs::{symlink, symlink as symlink_dir};

/// The time on the clock that all processes of a host share, CLOCK_MONOTONIC.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Standard input, with a descriptor of its own.
pub(crate) fn input() -> io::Result<fs::File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// The standard output of a worker.
#[derive(Debug)]
pub(crate) struct Output(ChildStdout);

impl Output {
    pub(crate) fn new(output: ChildStdout) -> Self {
        Self(output)
    }

    /// What the worker has written, nothing if it has closed its output; `None` if it does neither
    /// before the time has run out.
    pub(crate) fn read(&mut self, countdown: &mut Countdown) -> Option<Vec<u8>> {
        if !self.is_readable(countdown) {
            return None;
        }
        let mut bytes = vec![0; 4096];
        let count = self.0.read(&mut bytes).unwrap_or(0);
        bytes.truncate(count);
        Some(bytes)
    }

    fn is_readable(&self, countdown: &mut Countdown) -> bool {
        loop {
            let slice = countdown.slice();
            let Ok(time) = Timespec::try_from(slice.unwrap_or_default()) else {
                return false;
            };
            let mut output = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut output, Some(&time)) {
                Ok(0) if slice.is_some() => {}
                Err(Errno::INTR) => {}
                ready => return ready.is_ok_and(|count| count > 0),
            }
        }
    }
}

/// Stops a process with SIGSTOP, and waits until it has stopped or ended.
pub(crate) fn stop(child: &Child) -> io::Result<()> {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP)?;
    // It stays to be waited for by whoever wants to know how it ended.
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), stopped))?;
    Ok(())
}

/// Lets a process go on with SIGCONT.
pub(crate) fn resume(child: &Child) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), Signal::CONT)?)
}

/// Kills a process that is no child of this one, and waits until it has let go of its files.
pub(crate) fn end(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        end_process(pid);
    }
}

#[cfg(target_os = "linux")]
fn end_process(pid: Pid) {
    use rustix::process::{PidfdFlags, pidfd_open};

    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return; // it has ended
    };
    rustix::process::pidfd_send_signal(&process, Signal::KILL).ok();
    let patience = Timespec::try_from(std::time::Duration::from_secs(5)).ok();
    let gone = || {
        poll(
            &mut [PollFd::new(&process, PollFlags::IN)],
            patience.as_ref(),
        )
    };
    rustix::io::retry_on_intr(gone).ok();
}

/// The same where a process has no descriptor: its number says so when it is gone.
#[cfg(not(target_os = "linux"))]
fn end_process(pid: Pid) {
    use rustix::process::test_kill_process;
    use std::time::{Duration, Instant};

    kill_process(pid, Signal::KILL).ok();
    let deadline = Instant::now() + Duration::from_secs(5);
    while test_kill_process(pid).is_ok() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the process that started this one has ended, which is asked again and again.
pub(crate) fn is_orphan() -> impl Fn() -> bool {
    let parent = rustix::process::getppid();
    move || rustix::process::getppid() != parent
}

/// Whether this is how a file system without links of a kind says so: FAT and many others.
pub(crate) fn has_no_links(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK)
    )
}

/// Sets the permission bits of a file. Where there are none, it is read-only or not.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The permission bits of a file, if there are such.
pub(crate) fn mode(metadata: &Metadata) -> Option<u32> {
    Some(metadata.permissions().mode() & 0o777)
}

/// Whether a file has more than one name.
pub(crate) fn has_second_name(metadata: &Metadata) -> bool {
    metadata.nlink() > 1
}

/// Removes the name of a file, which may be open.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Removes a directory with all that is in it.
pub(crate) fn remove_tree(dir: &Path) -> io::Result<()> {
    fs::remove_dir_all(dir)
}

/// Renames `new` to `path`, and so replaces a file that may be open.
pub(crate) fn replace(path: &Path, new: &Path) -> io::Result<()> {
    fs::rename(new, path)
}

/// The absolute path of a directory, as every process calls it.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// A path of these bytes, if there is one.
pub(crate) fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    Some(OsString::from_vec(bytes).into())
}

/// A program that does nothing and ends.
pub(crate) fn program_that_ends() -> std::process::Command {
    use std::os::unix::process::CommandExt;

    // With a user id, though it is our own, std forks and executes: a longer window than that of
    // posix_spawn, which it uses otherwise.
    let mut command = std::process::Command::new("true");
    command.uid(rustix::process::getuid().as_raw());
    command
}
