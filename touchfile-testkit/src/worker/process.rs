//! A worker process, from outside.

use std::env;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

use super::serve::MARK;
use super::{Answer, Lost, Order};
use crate::countdown::Countdown;
use crate::suite::Place;

const SUITE: &str = "TOUCHFILE_TESTKIT_WORKER";
const DIR: &str = "TOUCHFILE_TESTKIT_WORKER_DIR";

/// How long a new process may take to say that it is ready.
const START: Duration = Duration::from_secs(30);

/// How long a process may take to end.
const END: Duration = Duration::from_secs(10);

/// How to execute this program again, as a worker of a suite.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    suite: String,
    view: View,
}

/// The directory of the lock files, as it is called here and where a worker is.
#[derive(Clone, Debug)]
struct View {
    here: PathBuf,
    there: PathBuf,
}

impl Command {
    /// # Errors
    ///
    /// A sentence, if this program does not know where it is.
    pub(crate) fn new(suite: &str, dir: &Path, place: &Place) -> Result<Self, String> {
        let program = env::current_exe()
            .map_err(|error| format!("this program does not know its own path: {error}"))?;
        let name = dir.file_name().unwrap_or_default();
        // The same arguments, so that its `main` takes the same way to the suite.
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

    /// What a worker calls the directory that is called `path` here.
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

/// If this process is a worker: the name of its suite, and the directory for the lock files.
pub(crate) fn suite_of_this_worker() -> Option<(String, PathBuf)> {
    let suite = env::var(SUITE).ok()?;
    Some((suite, env::var_os(DIR)?.into()))
}

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    view: View,
    /// Until the process is to end.
    orders: Option<ChildStdin>,
    answers: ChildStdout,
    /// What was read and is not yet a whole line.
    read: Vec<u8>,
}

impl Process {
    pub(super) fn spawn(command: &Command) -> Result<Self, String> {
        let mut child = process::Command::new(&command.program)
            .args(&command.arguments)
            .env(SUITE, &command.suite)
            .env(DIR, &command.view.there)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no worker: {}: {error}", command.program.display()))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("pipes were asked for");
        };
        let mut process = Self {
            child,
            view: command.view.clone(),
            orders: Some(orders),
            answers,
            read: Vec::new(),
        };
        match process.hear_line(START) {
            Ok(line) if line == "ready" => Ok(process),
            Ok(line) => Err(format!("no worker: it said {line:?}")),
            Err(lost) => Err(format!(
                "no worker: {lost}. A worker is this program, executed again; its `main` must come \
                 to the same suite, before it reads standard input"
            )),
        }
    }

    pub(super) fn tell(&mut self, order: &Order) {
        // Whether it listens is seen when it does not answer.
        if let Some(orders) = &mut self.orders {
            let order = order.clone().with_path(|path| self.view.of(path));
            writeln!(orders, "{order}").ok();
        }
    }

    pub(super) fn hear(&mut self, within: Duration) -> Result<Answer, Lost> {
        let line = self.hear_line(within)?;
        Ok(line.parse().unwrap_or_else(Answer::Unable))
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Ends its input, and waits for its end. If it does not end soon, it is killed.
    pub(super) fn finish(mut self) {
        self.orders = None;
        // Its output ends with it.
        while self.hear_line(END).is_ok() {}
        if self.hear_line(Duration::ZERO) == Err(Lost::Ended) {
            self.child.wait().ok();
        }
    }

    /// The next line of the protocol; others are what the backend prints.
    fn hear_line(&mut self, within: Duration) -> Result<String, Lost> {
        let mut countdown = Countdown::new(within);
        loop {
            while let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(said) = line.strip_prefix(MARK) {
                    return Ok(said.trim_end().to_owned());
                }
            }
            if !self.is_readable(&mut countdown) {
                return Err(Lost::Silent(within));
            }
            let mut bytes = [0; 4096];
            match self.answers.read(&mut bytes) {
                Ok(0) | Err(_) => return Err(Lost::Ended),
                Ok(count) => self.read.extend_from_slice(&bytes[..count]),
            }
        }
    }

    fn is_readable(&self, countdown: &mut Countdown) -> bool {
        loop {
            let slice = countdown.slice();
            let Ok(time) = Timespec::try_from(slice.unwrap_or_default()) else {
                return false;
            };
            let mut output = [PollFd::new(&self.answers, PollFlags::IN)];
            match poll(&mut output, Some(&time)) {
                Ok(0) if slice.is_some() => {}
                Err(rustix::io::Errno::INTR) => {}
                ready => return ready.is_ok_and(|count| count > 0),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
