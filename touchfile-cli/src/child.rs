//! Starts the command and waits for its end.

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{AccessFlags, Pid, access};
use rustix::process::WaitOptions;

use crate::inherited::inherited;

/// The directories in which a program without a slash in its name is looked up if `PATH` is not
/// set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A command to be started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    words: &'a [OsString],
    program: Option<&'a Path>,
    environment: Vec<(&'static str, OsString)>,
    closed: Option<RawFd>,
    aside: bool,
}

impl<'a> Launch<'a> {
    /// The command with this name and arguments. Its program is found as a shell finds it.
    pub(crate) fn new(words: &'a [OsString]) -> Self {
        Self {
            words,
            program: None,
            environment: Vec::new(),
            closed: None,
            aside: false,
        }
    }

    /// Runs `program`, and passes the first word as its name.
    pub(crate) fn program(mut self, program: &'a Path) -> Self {
        self.program = Some(program);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &'static str, value: OsString) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Closes `descriptor` in the new process.
    pub(crate) fn close(mut self, descriptor: RawFd) -> Self {
        self.closed = Some(descriptor);
        self
    }

    /// Redirects standard input from /dev/null and standard output to standard error. This is for a
    /// command that runs beside another one, to which standard input and output belong.
    pub(crate) fn aside(mut self) -> Self {
        self.aside = true;
        self
    }

    /// Starts the command.
    ///
    /// # Errors
    ///
    /// Those of fork(2) and execve(2). In both cases no command was started.
    pub(crate) fn start(self) -> io::Result<Child> {
        let started = self.try_with(|command| command.spawn())?;
        let pid = i32::try_from(started.id()).map_err(io::Error::other)?;
        Ok(Child {
            pid: Pid::from_raw(pid),
            status: None,
        })
    }

    /// Replaces this process by the command. It returns only if that fails, with the reason.
    pub(crate) fn replace_this_process(self) -> io::Error {
        let replaced = self.try_with(|command| Err::<Infallible, _>(command.exec()));
        let Err(error) = replaced;
        error
    }

    /// Executes the program. If it is a script that names no interpreter, a shell executes it (POSIX,
    /// "Command Search and Execution"), which not every C library does by itself.
    fn try_with<T>(&self, execute: impl Fn(&mut Command) -> io::Result<T>) -> io::Result<T> {
        let (name, arguments) = self
            .words
            .split_first()
            .ok_or(io::ErrorKind::InvalidInput)?;
        let program = self.program.map_or(name.as_os_str(), Path::as_os_str);
        let mut command = self.command(program)?;
        command.arg0(name).args(arguments);
        match execute(&mut command) {
            Err(error) if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
                let script = find(program).ok_or(error)?;
                let mut command = self.command("/bin/sh".as_ref())?;
                execute(command.arg(script).args(arguments))
            }
            done => done,
        }
    }

    fn command(&self, program: &OsStr) -> io::Result<Command> {
        let mut command = Command::new(program);
        command.envs(self.environment.iter().cloned());
        if self.aside {
            let stderr = io::stderr().as_fd().try_clone_to_owned()?;
            command.stdin(Stdio::null()).stdout(stderr);
        }
        inherited().pass_on(&mut command, self.closed);
        Ok(command)
    }
}

/// The file of the program with this name.
fn find(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// A command that was started. It continues when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    status: Option<ExitStatus>,
}

impl Child {
    /// The exit status, if the child has ended.
    ///
    /// All other children that have ended are reaped as well: the command of `--on-wait`, and the
    /// orphans of process 1.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        while self.status.is_none() {
            match wait_for_any(WaitOptions::NOHANG)? {
                Some(ended) => self.note(ended),
                None => break,
            }
        }
        Ok(self.status)
    }

    /// Waits until the child ends, and reaps all other children that end in the meantime.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            if let Some(ended) = wait_for_any(WaitOptions::empty())? {
                self.note(ended);
            }
        }
    }

    /// Its process id. After the child has ended, another process may get it.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal to the child, unless it has ended.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        // After the child was reaped, another process may get its id.
        if self.status.is_none() {
            kill(self.pid, signal)?;
        }
        Ok(())
    }

    fn note(&mut self, (pid, status): (Pid, ExitStatus)) {
        if pid == self.pid {
            self.status = Some(status);
        }
    }
}

/// Reaps all children that have ended, and ignores their exit statuses.
pub(crate) fn reap() {
    while let Ok(Some(_)) = wait_for_any(WaitOptions::NOHANG) {}
}

/// Reaps a child that has ended. The options say whether to wait for one.
fn wait_for_any(options: WaitOptions) -> io::Result<Option<(Pid, ExitStatus)>> {
    let ended = rustix::io::retry_on_intr(|| rustix::process::wait(options))?;
    Ok(ended.map(|(pid, status)| {
        let pid = Pid::from_raw(pid.as_raw_nonzero().get());
        (pid, ExitStatus::from_raw(status.as_raw()))
    }))
}
