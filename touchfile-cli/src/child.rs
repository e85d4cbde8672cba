//! The command as a process.
//!
//! Not [`std::process::Command`], which starts its children with the signal mask of this process:
//! the one that keeps signals for us to pass on.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, Pid, access};
use rustix::process::{WaitOptions, waitpid};

/// Where files are looked for that are named without a slash, if the environment does not say.
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
    /// The command that `words` are: its name, found as a shell would find it, and its arguments.
    pub(crate) fn new(words: &'a [OsString]) -> Self {
        Self {
            words,
            program: None,
            environment: Vec::new(),
            closed: None,
            aside: false,
        }
    }

    /// Runs `program`, whatever the first word is.
    pub(crate) fn program(mut self, program: &'a Path) -> Self {
        self.program = Some(program);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &'static str, value: OsString) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Lets it not have `descriptor`.
    pub(crate) fn close(mut self, descriptor: RawFd) -> Self {
        self.closed = Some(descriptor);
        self
    }

    /// Gives it nothing to read, and standard error to write to, since standard input and output
    /// are another command's.
    pub(crate) fn aside(mut self) -> Self {
        self.aside = true;
        self
    }

    /// Starts it with `blocked` as its signal mask.
    ///
    /// # Errors
    ///
    /// Those of execve(2) as well: then nothing was started.
    pub(crate) fn start(self, blocked: &SigSet) -> io::Result<Child> {
        let name = self.words.first().ok_or(io::ErrorKind::InvalidInput)?;
        let program = self.program.map_or(name.as_os_str(), Path::as_os_str);
        match self.spawn(program, self.words, blocked) {
            // A script without an interpreter is one for the shell (POSIX "Command Search and
            // Execution"). posix_spawnp(3) does not look after that, as execvp(3) does.
            Err(error) if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
                let script = find(program).ok_or(error)?;
                let mut words = vec!["/bin/sh".into(), script.into()];
                words.extend_from_slice(self.words.get(1..).unwrap_or_default());
                self.spawn("/bin/sh".as_ref(), &words, blocked)
            }
            done => done,
        }
    }

    fn spawn(&self, program: &OsStr, words: &[OsString], blocked: &SigSet) -> io::Result<Child> {
        let words = words.iter().map(|word| c_string(word));
        let words = words.collect::<io::Result<Vec<_>>>()?;
        let ours = |name: &OsString| self.environment.iter().any(|(ours, _)| name == ours);
        let inherited = env::vars_os().filter(|(name, _)| !ours(name));
        let set = self.environment.iter().cloned();
        let set = set.map(|(name, value)| (name.into(), value));
        let environment = inherited.chain(set).map(|(mut name, value)| {
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
        let mut files = PosixSpawnFileActions::init()?;
        if self.aside {
            files.add_open(0, "/dev/null", OFlag::O_RDONLY, Mode::empty())?;
            files.add_dup2(2, 1)?;
        }
        if let Some(descriptor) = self.closed {
            files.add_close(descriptor)?;
        }
        let program = c_string(program)?;
        let pid = posix_spawnp(&program, &files, &attributes, &words, &environment)?;
        Ok(Child { pid, status: None })
    }
}

/// The file that running `name` means.
fn find(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// A command that was started. It goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    status: Option<ExitStatus>,
}

impl Child {
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
