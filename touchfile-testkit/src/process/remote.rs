//! A worker process, as the suite sees it.

use std::env;
use std::ffi::OsString;
use std::iter;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use super::command::{from_line, to_line};
use super::{Answer, Command, Lost, Place};
use crate::worker::Worker;

const SUITE: &str = "TOUCHFILE_TESTKIT_WORKER";
const DIR: &str = "TOUCHFILE_TESTKIT_WORKER_DIR";

/// How long a new process may take to reply that it is ready.
const START: Duration = Duration::from_secs(30);

/// How long a process may take to end.
const END: Duration = Duration::from_secs(10);

/// How to execute this program again, as a worker of a suite.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    suite: String,
    view: View,
}

/// The paths at which the suite and a worker see the directory of the lock files.
#[derive(Clone, Debug)]
struct View {
    here: PathBuf,
    there: PathBuf,
}

impl Launch {
    /// # Errors
    ///
    /// A message, if the path of this program is not known.
    pub(crate) fn new(suite: &str, dir: &Path, place: &Place) -> Result<Self, String> {
        let program = env::current_exe()
            .map_err(|error| format!("this program does not know its own path: {error}"))?;
        let name = dir.file_name().unwrap_or_default();
        // With the same arguments its `main` takes the same way to the suite.
        let own = iter::once(program.into_os_string()).chain(env::args_os().skip(1));
        let mut words = place.launcher.iter().cloned().chain(own);
        Ok(Self {
            program: words.next().unwrap_or_default().into(),
            arguments: words.collect(),
            suite: suite.to_owned(),
            view: View {
                here: dir.to_owned(),
                there: place.dir.join(name),
            },
        })
    }

    /// The path at which a worker sees `path`.
    pub(crate) fn seen_there(&self, path: &Path) -> PathBuf {
        self.view.of(path)
    }
}

impl View {
    fn of(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.here) {
            Ok(below) => self.there.join(below),
            Err(_) => path.to_owned(),
        }
    }
}

/// The name of the suite and the directory for lock files, if this process is a worker.
pub(crate) fn suite_of_this_worker() -> Option<(String, PathBuf)> {
    let suite = env::var(SUITE).ok()?;
    Some((suite, env::var_os(DIR)?.into()))
}

/// A process that executes commands. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Remote {
    worker: Worker,
    view: View,
}

impl Remote {
    pub(super) fn launch(launch: &Launch) -> Result<Self, String> {
        let mut program = process::Command::new(&launch.program);
        program
            .args(&launch.arguments)
            .env(SUITE, &launch.suite)
            .env(DIR, &launch.view.there);
        let mut worker = Worker::spawn(&mut program)
            .map_err(|error| format!("no worker: {}: {error}", launch.program.display()))?;
        match worker.receive(START) {
            Ok(line) if line == "ready" => Ok(Self {
                worker,
                view: launch.view.clone(),
            }),
            Ok(line) => Err(format!("no worker: it said {line:?}")),
            Err(lost) => Err(format!(
                "no worker: {lost}. A worker is this program, executed again; its `main` must come \
                 to the same suite, before it reads standard input"
            )),
        }
    }

    pub(super) fn send(&mut self, command: &Command) {
        let command = command.clone().with_path(|path| self.view.of(path));
        self.worker.send(to_line(&command));
    }

    pub(super) fn receive(&mut self, within: Duration) -> Result<Answer, Lost> {
        let line = self.worker.receive(within)?;
        Ok(from_line(&line).unwrap_or_else(Answer::Unable))
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Closes the standard input of the process, and waits for its end. If it does not end soon, it is
    /// killed.
    pub(super) fn finish(self) {
        self.worker.finish(END).ok();
    }

    pub(super) fn kill(mut self) {
        // It may have ended already.
        self.worker.kill().ok();
    }
}
