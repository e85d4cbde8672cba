//! The command as a process.
//!
//! Not [`std::process::Command`], which starts its children with the signal mask of this process:
//! the one that keeps signals for us to pass on.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, waitpid};

/// A command that was started. It goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts `command`, found as a shell would find it, with `blocked` as its signal mask.
    ///
    /// # Errors
    ///
    /// Those of execve(2) as well: then nothing was started.
    pub(crate) fn start(command: &[OsString], blocked: &SigSet) -> io::Result<Self> {
        let arguments = command.iter().map(|argument| c_string(argument));
        let arguments = arguments.collect::<io::Result<Vec<_>>>()?;
        let program = arguments.first().ok_or(io::ErrorKind::InvalidInput)?;
        let environment = env::vars_os().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            c_string(&name)
        });
        let environment = environment.collect::<io::Result<Vec<_>>>()?;

        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_sigmask(blocked)?;
        // Rust ignores it in all its programs. What else is ignored, the user wanted ignored.
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        let files = PosixSpawnFileActions::init()?;
        let pid = posix_spawnp(program, &files, &attributes, &arguments, &environment)?;
        Ok(Self { pid, status: None })
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_with(WaitOptions::NOHANG)
    }

    /// Waits for its end, whatever signals do.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait_with(WaitOptions::empty())? {
                return Ok(status);
            }
        }
    }

    /// Sends it `signal`, if it has not ended.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        // Once it is waited for, its number may be somebody else's.
        if self.status.is_none() {
            kill(self.pid, signal)?;
        }
        Ok(())
    }

    fn wait_with(&mut self, options: WaitOptions) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let pid = rustix::process::Pid::from_raw(self.pid.as_raw());
            let ended = rustix::io::retry_on_intr(|| waitpid(pid, options))?;
            self.status = ended.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
        }
        Ok(self.status)
    }
}

fn c_string(from: &OsStr) -> io::Result<CString> {
    Ok(CString::new(from.as_bytes())?)
}
