//! Other processes: this program again, with a role, that obeys lines and answers with lines.

use std::env;
use std::io;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
pub(crate) use touchfile_testkit::worker::reply as say;
use touchfile_testkit::worker::{self, this_program};

use crate::contenders::{self, Contender, Participant};

const ROLE: &str = "TOUCHFILE_BENCH_ROLE";
const CONTENDER: &str = "TOUCHFILE_BENCH_CONTENDER";
const LOCK: &str = "TOUCHFILE_BENCH_LOCK";

/// How long a worker may take to reply.
const DEADLINE: Duration = Duration::from_secs(120);

/// A worker, as its parent sees it. It ends with its standard input, and is killed when dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    role: &'static str,
    contender: &'static Contender,
    process: worker::Worker,
}

impl Worker {
    pub(crate) fn spawn(
        role: &'static str,
        contender: &'static Contender,
        path: &Path,
    ) -> io::Result<Self> {
        let mut command = this_program()?;
        command
            .env(ROLE, role)
            .env(CONTENDER, contender.name)
            .env(LOCK, path);
        Ok(Self {
            role,
            contender,
            process: worker::Worker::spawn(&mut command)?,
        })
    }

    /// Commands, and does not wait for the answer.
    pub(crate) fn send(&mut self, command: &str) -> io::Result<()> {
        self.process.send(command);
        Ok(())
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> io::Result<String> {
        let answer = self.process.receive(DEADLINE);
        answer.map_err(|lost| self.broken(&lost.to_string()))
    }

    pub(crate) fn ask(&mut self, command: &str) -> io::Result<String> {
        self.send(command)?;
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

    /// SIGKILL, and the wait for its end.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
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

/// A worker, as it sees itself.
pub(crate) struct Side {
    pub(crate) contender: &'static Contender,
    pub(crate) path: PathBuf,
    /// Of one thread: what most lean programs have, and the soonest to wake.
    pub(crate) runtime: Runtime,
    pub(crate) commands: Commands,
}

/// What the parent says. Standard input itself is not touched, so that another thread may hear.
pub(crate) struct Commands(worker::Commands);

/// The role of this process, if it is a worker.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// A runtime as the contenders in async get it.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Side {
    pub(crate) fn new() -> io::Result<Self> {
        let missing = || io::Error::other("a worker is told its contender and its lock file");
        let name = env::var(CONTENDER).map_err(|_| missing())?;
        Ok(Self {
            contender: contenders::named(&name).ok_or_else(missing)?,
            path: env::var_os(LOCK).ok_or_else(missing)?.into(),
            runtime: runtime()?,
            commands: Commands(worker::Commands::new()?),
        })
    }

    pub(crate) fn open(&self) -> io::Result<Participant> {
        (self.contender.open)(&self.path)
    }
}

impl Commands {
    /// The next command; `None` when there will be none.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.0.next()?.ok()
    }

    /// The next command, which is to be numbers.
    pub(crate) fn next_numbers(&mut self) -> Option<Vec<u64>> {
        numbers(&self.next()?).ok()
    }
}

/// What a line of numbers says.
pub(crate) fn numbers(line: &str) -> Result<Vec<u64>, ParseIntError> {
    line.split_whitespace().map(str::parse).collect()
}
