//! A worker, as a scenario sees it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::{MARK, ROLE, this_program};
use crate::lab::{At, Lab, PATIENCE};
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
    child: Child,
    /// Until it is to end.
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
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
        words.push(this_program()?.into());
        words.extend([ROLE.into(), backend.name().into(), dir.join(name).into()]);
        if settings.remove_on_release {
            words.push("remove".into());
        }
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("pipes were asked for");
        };
        let (tell, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Some(answer) = line.strip_prefix(MARK) else {
                    continue;
                };
                if tell.send(answer.to_owned()).is_err() {
                    break;
                }
            }
        });
        let worker = Self {
            at,
            child,
            orders: Some(orders),
            answers,
        };
        worker.must_say("ready")?;
        Ok(worker)
    }

    /// Orders, and does not wait for the answer.
    pub(crate) fn tell(&mut self, order: &str) -> Outcome {
        if let Some(orders) = &mut self.orders {
            writeln!(orders, "{order}")?;
        }
        Ok(())
    }

    /// What it says next, if it does within some time.
    pub(crate) fn hear(&self, within: Duration) -> Result<Option<String>, Undone> {
        match self.answers.recv_timeout(within) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Undone::Failed(format!(
                "the worker at {:?} has ended",
                self.at
            ))),
        }
    }

    /// Orders, and waits for the answer.
    pub(crate) fn ask(&mut self, order: &str) -> Result<String, Undone> {
        self.tell(order)?;
        self.answer()
    }

    /// What it says next.
    pub(crate) fn answer(&self) -> Result<String, Undone> {
        self.hear(PATIENCE)?.ok_or_else(|| {
            Undone::Failed(format!(
                "the worker at {:?} says nothing for {PATIENCE:?}",
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
    pub(crate) fn must_say(&self, expected: &str) -> Outcome {
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
    pub(crate) fn must_wait_on(&self, why: &str) -> Outcome {
        match self.hear(Duration::from_secs(3))? {
            None => Ok(()),
            Some(answer) => Err(Undone::Failed(format!(
                "the worker at {:?} waits no longer but says {answer:?}, though {why}",
                self.at
            ))),
        }
    }

    /// Begins to wait for the exclusive lock, which somebody holds.
    pub(crate) fn begin_to_wait(&mut self) -> Outcome {
        self.tell("lock exclusive")?;
        // By its next answer it has begun: it does one thing after the other.
        self.must("ping", "pong")
    }

    /// SIGSTOP, and the wait for it to take effect.
    pub(crate) fn stop(&self) -> Outcome {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP)?;
        waitpid(Some(pid), WaitOptions::UNTRACED)?;
        Ok(())
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) -> Outcome {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Lets it end by itself.
    pub(crate) fn finish(mut self) -> Outcome {
        self.orders = None;
        let status = self.child.wait()?;
        must(status.success(), format!("a worker ended with {status}"))
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended. Not waited for: if its server does not answer, it cannot even die.
        self.child.kill().ok();
        self.child.try_wait().ok();
    }
}
