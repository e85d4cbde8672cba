//! Other processes: this program again, with a role, that obeys lines and answers with lines.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::{Builder, Runtime};

use crate::contenders::{self, Contender, Participant};
use crate::scenarios;

const ROLE: &str = "TOUCHFILE_BENCH_ROLE";
const CONTENDER: &str = "TOUCHFILE_BENCH_CONTENDER";
const LOCK: &str = "TOUCHFILE_BENCH_LOCK";

/// Beyond this a worker hangs.
const PATIENCE: Timespec = Timespec {
    tv_sec: 120,
    tv_nsec: 0,
};

/// A worker, as its parent sees it. It ends with its standard input, and is killed when dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    role: &'static str,
    contender: &'static Contender,
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn spawn(
        role: &'static str,
        contender: &'static Contender,
        path: &Path,
    ) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .env(ROLE, role)
            .env(CONTENDER, contender.name)
            .env(LOCK, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            role,
            contender,
            commands: child.stdin.take().expect("a pipe was asked for"),
            answers: BufReader::new(child.stdout.take().expect("a pipe was asked for")),
            child,
        })
    }

    /// Commands, and does not wait for the answer.
    pub(crate) fn tell(&mut self, command: &str) -> io::Result<()> {
        let told = self.commands.write_all(format!("{command}\n").as_bytes());
        told.map_err(|_| self.broken("ended"))
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> io::Result<String> {
        if self.answers.buffer().is_empty() {
            let mut fds = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
            if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&PATIENCE)))? == 0 {
                return Err(self.broken("did not answer"));
            }
        }
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(self.broken("ended"));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    pub(crate) fn ask(&mut self, command: &str) -> io::Result<String> {
        self.tell(command)?;
        self.answer()
    }

    /// The next answer, which is to be numbers.
    pub(crate) fn numbers(&mut self) -> io::Result<Vec<u64>> {
        let answer = self.answer()?;
        numbers(&answer).map_err(|_| self.broken(&format!("answered {answer:?}")))
    }

    pub(crate) fn number(&mut self) -> io::Result<u64> {
        let numbers = self.numbers()?;
        numbers
            .first()
            .copied()
            .ok_or_else(|| self.broken("said nothing"))
    }

    /// SIGKILL. It is reaped when this is dropped.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    pub(crate) fn contender(&self) -> &'static Contender {
        self.contender
    }

    fn broken(&self, what: &str) -> io::Error {
        let Self {
            role, contender, ..
        } = self;
        io::Error::other(format!("worker {role} of {}: {what}", contender.name))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A worker, as it sees itself.
pub(crate) struct Side {
    pub(crate) contender: &'static Contender,
    pub(crate) path: PathBuf,
    /// Of one thread: what most lean programs have, and the soonest to wake.
    pub(crate) runtime: Runtime,
    pub(crate) commands: Commands,
}

/// What the parent says. Standard input itself is not touched, so that another thread may hear.
pub(crate) struct Commands(BufReader<File>);

/// Does what this process is told to do, if it is a worker.
pub(crate) fn run_as_worker() -> Option<ExitCode> {
    let role = env::var(ROLE).ok()?;
    let done = Side::new().and_then(|side| scenarios::play(&role, side));
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "worker {role}: {error}"));
            ExitCode::FAILURE
        }
    })
}

/// A runtime as the contenders in async get it.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Side {
    fn new() -> io::Result<Self> {
        let missing = || io::Error::other("a worker is told its contender and its lock file");
        let name = env::var(CONTENDER).map_err(|_| missing())?;
        Ok(Self {
            contender: contenders::named(&name).ok_or_else(missing)?,
            path: env::var_os(LOCK).ok_or_else(missing)?.into(),
            runtime: runtime()?,
            commands: Commands(BufReader::new(File::from(rustix::io::dup(io::stdin())?))),
        })
    }

    pub(crate) fn open(&self) -> io::Result<Participant> {
        (self.contender.open)(&self.path)
    }
}

impl Commands {
    /// The next command; `None` when there will be none.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).ok()?;
        line.truncate(line.trim_end().len());
        (read > 0).then_some(line)
    }

    /// The next command, which is to be numbers.
    pub(crate) fn hear_numbers(&mut self) -> Option<Vec<u64>> {
        numbers(&self.hear()?).ok()
    }
}

/// What a line of numbers says.
pub(crate) fn numbers(line: &str) -> Result<Vec<u64>, ParseIntError> {
    line.split_whitespace().map(str::parse).collect()
}

/// Answers the parent.
pub(crate) fn say(line: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
