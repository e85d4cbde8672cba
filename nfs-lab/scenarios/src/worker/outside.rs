//! A worker, as a scenario sees it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use touchfile_testkit::worker::{self, Lost, this_program};

use super::ROLE;
use crate::lab::{At, DEADLINE, Lab};
use crate::runner::{Outcome, Undone, must};

/// The way a worker locks.
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

/// A worker process; killed when dropped.
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

    /// With the lock file in another directory than that which all share.
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

    /// Orders, and does not wait for the answer.
    pub(crate) fn send(&mut self, order: &str) -> Outcome {
        self.process.send(order);
        Ok(())
    }

    /// What it says next, if it does within some time.
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

    /// Orders, and waits for the answer.
    pub(crate) fn ask(&mut self, order: &str) -> Result<String, Undone> {
        self.send(order)?;
        self.answer()
    }

    /// What it says next.
    pub(crate) fn answer(&mut self) -> Result<String, Undone> {
        self.receive(DEADLINE)?.ok_or_else(|| {
            Undone::Failed(format!(
                "the worker at {:?} says nothing for {DEADLINE:?}",
                self.at
            ))
        })
    }

    /// An order with this answer.
    pub(crate) fn must(&mut self, order: &str, expected: &str) -> Outcome {
        let answer = self.ask(order)?;
        if answer == expected {
            return Ok(());
        }
        Err(Undone::Failed(format!(
            "the worker at {:?} was told to {order}, and says {answer:?}, not {expected:?}",
            self.at
        )))
    }

    /// What it must say next.
    pub(crate) fn must_reply(&mut self, expected: &str) -> Outcome {
        let answer = self.answer()?;
        if answer == expected {
            return Ok(());
        }
        Err(Undone::Failed(format!(
            "the worker at {:?} says {answer:?}, not {expected:?}",
            self.at
        )))
    }

    /// That it goes on waiting, as far as can be seen in a while.
    pub(crate) fn must_wait_on(&mut self, why: &str) -> Outcome {
        match self.receive(Duration::from_secs(3))? {
            None => Ok(()),
            Some(answer) => Err(Undone::Failed(format!(
                "the worker at {:?} waits no longer but says {answer:?}, though {why}",
                self.at
            ))),
        }
    }

    /// Begins to wait for the exclusive lock, which somebody holds.
    pub(crate) fn begin_to_wait(&mut self) -> Outcome {
        self.send("lock exclusive")?;
        // By its next answer it has begun: it does one thing after the other.
        self.must("ping", "pong")
    }

    /// SIGSTOP, and the wait for it to take effect.
    pub(crate) fn stop(&self) -> Outcome {
        Ok(self.process.stop()?)
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) -> Outcome {
        Ok(self.process.resume()?)
    }

    /// Lets it end by itself.
    pub(crate) fn finish(self) -> Outcome {
        let status = self
            .process
            .finish(DEADLINE)
            .map_err(std::io::Error::from)?;
        must(status.success(), format!("a worker ended with {status}"))
    }

    /// SIGKILL, and the wait for its end.
    pub(crate) fn kill(mut self) -> Outcome {
        Ok(self.process.kill()?)
    }
}
