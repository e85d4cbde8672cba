//! A worker, as a scenario sees it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use touchfile_testkit::worker::{self, Lost, this_program};

use super::ROLE;
use crate::lab::{At, DEADLINE, Lab};
use crate::outcome::{Outcome, Undone, must};

/// The backend of a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Backend {
    Auto,
    Fcntl,
    Flock,
}

/// How a worker opens its lock file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) remove_on_release: bool,
}

/// A worker process. It is killed when this is dropped.
pub(crate) struct Worker {
    at: At,
    process: worker::Worker,
}

impl Backend {
    pub(crate) const BOTH: [Self; 2] = [Self::Fcntl, Self::Flock];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fcntl => "fcntl",
            Self::Flock => "flock",
        }
    }
}

impl Worker {
    pub(crate) fn start(lab: &Lab, at: At, backend: Backend, name: &str) -> Result<Self, Undone> {
        Self::start_with(lab, at, backend, name, Settings::default())
    }

    /// A worker with its lock file in another directory than the shared one.
    pub(crate) fn start_in(
        dir: &Path,
        at: At,
        backend: Backend,
        name: &str,
    ) -> Result<Self, Undone> {
        Self::spawn(dir, at, backend, name, Settings::default())
    }

    pub(crate) fn start_with(
        lab: &Lab,
        at: At,
        backend: Backend,
        name: &str,
        settings: Settings,
    ) -> Result<Self, Undone> {
        Self::spawn(lab.dir(at), at, backend, name, settings)
    }

    fn spawn(
        dir: &Path,
        at: At,
        backend: Backend,
        name: &str,
        settings: Settings,
    ) -> Result<Self, Undone> {
        let mut words = at.launcher();
        words.push(this_program()?.get_program().to_owned());
        words.extend([ROLE.into(), backend.name().into(), dir.join(name).into()]);
        if settings.remove_on_release {
            words.push("remove".into());
        }
        let process = worker::Worker::spawn(Command::new(&words[0]).args(&words[1..]))?;
        let mut worker = Self { at, process };
        worker.must_reply("ready")?;
        Ok(worker)
    }

    /// Sends a command, and does not wait for the reply.
    pub(crate) fn send(&mut self, command: &str) -> Outcome {
        self.process.send(command);
        Ok(())
    }

    /// The next reply, if there is one in this time.
    pub(crate) fn receive(&mut self, within: Duration) -> Result<Option<String>, Undone> {
        match self.process.receive(within) {
            Ok(answer) => Ok(Some(answer)),
            Err(Lost::Silent(_)) => Ok(None),
            Err(lost) => Err(Undone::Failed(format!(
                "the worker at {:?}: {lost}",
                self.at
            ))),
        }
    }

    /// Sends a command, and waits for the reply.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String, Undone> {
        self.send(command)?;
        self.answer()
    }

    /// The next reply.
    pub(crate) fn answer(&mut self) -> Result<String, Undone> {
        self.receive(DEADLINE)?.ok_or_else(|| {
            Undone::Failed(format!(
                "the worker at {:?} has not replied for {DEADLINE:?}",
                self.at
            ))
        })
    }

    /// Sends a command, which must have this reply.
    pub(crate) fn must(&mut self, command: &str, expected: &str) -> Outcome {
        let answer = self.ask(command)?;
        if answer == expected {
            return Ok(());
        }
        Err(Undone::Failed(format!(
            "the worker at {:?} was sent {command:?} and replied {answer:?}, not {expected:?}",
            self.at
        )))
    }

    /// The next reply, which must be this one.
    pub(crate) fn must_reply(&mut self, expected: &str) -> Outcome {
        let answer = self.answer()?;
        if answer == expected {
            return Ok(());
        }
        Err(Undone::Failed(format!(
            "the worker at {:?} replied {answer:?}, not {expected:?}",
            self.at
        )))
    }

    /// Checks for a few seconds that it still waits.
    pub(crate) fn must_wait_on(&mut self, why: &str) -> Outcome {
        match self.receive(Duration::from_secs(3))? {
            None => Ok(()),
            Some(answer) => Err(Undone::Failed(format!(
                "the worker at {:?} does not wait any more and replied {answer:?}, though {why}",
                self.at
            ))),
        }
    }

    /// Begins to wait for the exclusive lock, which another process holds.
    pub(crate) fn begin_to_wait(&mut self) -> Outcome {
        self.send("lock exclusive")?;
        // When it replies to the next command, the wait has begun.
        self.must("ping", "pong")
    }

    /// Stops it with SIGSTOP, and waits until it has stopped.
    pub(crate) fn stop(&self) -> Outcome {
        Ok(self.process.stop()?)
    }

    /// Lets it go on with SIGCONT.
    pub(crate) fn resume(&self) -> Outcome {
        Ok(self.process.resume()?)
    }

    /// Closes its standard input, and waits for its end.
    pub(crate) fn finish(self) -> Outcome {
        let status = self
            .process
            .finish(DEADLINE)
            .map_err(std::io::Error::from)?;
        must(status.success(), format!("a worker ended with {status}"))
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub(crate) fn kill(mut self) -> Outcome {
        Ok(self.process.kill()?)
    }
}
