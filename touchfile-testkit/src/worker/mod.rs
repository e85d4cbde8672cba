//! Worker processes: this program, executed again, which reads commands and replies to them.
//!
//! A test of locks needs processes that execute its commands, and that it can stop and kill. A
//! [`Worker`] is such a process as its parent sees it. The process itself reads [`Commands`] from its
//! standard input and [replies](reply) on its standard output. Each command and each reply is one
//! line. Every conformance suite and the tests of touchfile itself use such workers.
//!
//! A new program has one thread, no locks and no other state, whatever its parent has. A forked child
//! would have a copy of everything.
//!
//! Another program, such as a shell or Python, can be a worker too: a reply is a line that begins
//! with `@touchfile ` (with a space), and any other line is ignored.
//!
//! # Examples
//!
//! ```no_run
//! use std::time::Duration;
//! use touchfile_testkit::worker::{Commands, Worker, reply, this_program};
//!
//! fn main() -> std::io::Result<()> {
//!     if std::env::var_os("IS_WORKER").is_some() {
//!         for command in Commands::new()? {
//!             reply(command?.to_uppercase())?;
//!         }
//!         return Ok(());
//!     }
//!     let mut worker = Worker::spawn(this_program()?.env("IS_WORKER", "1"))?;
//!     worker.send("hello");
//!     assert_eq!(worker.receive(Duration::from_secs(10))?, "HELLO");
//!     Ok(())
//! }
//! ```

mod own_side;

use std::env;
use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use self::own_side::{Commands, reply};
use crate::countdown::Countdown;
use crate::system::{self, Output};

/// The beginning of each reply. A worker may print other lines as well.
const MARK: &str = "@touchfile ";

/// How long the drop of a worker waits for its end. A process that hangs in the kernel, on a network
/// file system whose server is gone, ends only when the server answers.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A command that executes this program. Arguments and variables can be added to it.
///
/// # Errors
///
/// Those of [`env::current_exe`].
pub fn this_program() -> io::Result<Command> {
    env::current_exe().map(Command::new)
}

/// A worker process, as its parent sees it. The process is killed when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    /// The standard input of the process; nothing once it has been closed.
    input: Option<ChildStdin>,
    output: Output,
    /// The bytes that were read and are not yet a whole line.
    read: Vec<u8>,
    /// How long to wait for the end of the process when this is dropped.
    last_wait: Duration,
}

/// Why a worker has not replied.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lost {
    /// The worker has ended, or has closed its standard output.
    Ended,
    /// The worker has not replied within this time.
    Silent(Duration),
}

impl Worker {
    /// Starts a process, with pipes as its standard input and output.
    ///
    /// # Errors
    ///
    /// Those of [`Command::spawn`].
    ///
    /// # Panics
    ///
    /// Never: the pipes are there, since they were asked for.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = Output::new(child.stdout.take().expect("a pipe was asked for"));
        Ok(Self {
            child,
            input,
            output,
            read: Vec::new(),
            last_wait: LAST_WAIT,
        })
    }

    /// Sends a command of one line, and does not wait for the reply.
    ///
    /// If the worker has ended, [`receive`](Self::receive) says so.
    pub fn send(&mut self, command: impl Display) {
        if let Some(input) = &mut self.input {
            input.write_all(format!("{command}\n").as_bytes()).ok();
        }
    }

    /// The next reply. Time in which the calling process is itself stopped does not count.
    ///
    /// # Errors
    ///
    /// [`Lost::Ended`] if the worker has ended, and [`Lost::Silent`] if it does not reply in time.
    pub fn receive(&mut self, within: Duration) -> Result<String, Lost> {
        let mut countdown = Countdown::new(within);
        loop {
            if let Some(reply) = next_reply(&mut self.read) {
                return Ok(reply);
            }
            match self.output.read(&mut countdown) {
                None => return Err(Lost::Silent(within)),
                Some(bytes) if bytes.is_empty() => return Err(Lost::Ended),
                Some(bytes) => self.read.extend(bytes),
            }
        }
    }

    /// Sends a command, and waits for the reply.
    ///
    /// # Errors
    ///
    /// Those of [`receive`](Self::receive).
    pub fn ask(&mut self, command: impl Display, within: Duration) -> Result<String, Lost> {
        self.send(command);
        self.receive(within)
    }

    /// The id of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process with SIGSTOP, and waits until it has stopped or ended.
    ///
    /// # Errors
    ///
    /// Those of kill(2) and waitid(2), such as `ESRCH` after [`kill`](Self::kill);
    /// [`io::ErrorKind::Unsupported`] on Windows.
    pub fn stop(&self) -> io::Result<()> {
        system::stop(&self.child)
    }

    /// Lets the process go on with SIGCONT.
    ///
    /// # Errors
    ///
    /// Those of kill(2), such as `ESRCH` after [`kill`](Self::kill); [`io::ErrorKind::Unsupported`] on
    /// Windows.
    pub fn resume(&self) -> io::Result<()> {
        system::resume(&self.child)
    }

    /// Kills the process with SIGKILL, or on Windows with TerminateProcess, and waits until it has ended.
    ///
    /// # Errors
    ///
    /// Those of [`Child::kill`] and [`Child::wait`].
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Kills the process with SIGKILL, and does not wait until it has ended.
    ///
    /// A process that hangs in the kernel, on a network file system whose server is gone, ends only
    /// when the server answers.
    pub fn abandon(mut self) {
        self.last_wait = Duration::ZERO;
    }

    /// Closes the standard input of the process, waits for its end, and returns its exit status.
    ///
    /// # Errors
    ///
    /// [`Lost::Silent`] if the process does not end within this time. Then it is killed.
    pub fn finish(mut self, within: Duration) -> Result<ExitStatus, Lost> {
        const PAUSE: Duration = Duration::from_millis(5);
        self.input = None;
        let mut countdown = Countdown::new(within);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            if countdown.slice().is_none() {
                return Err(Lost::Silent(within));
            }
            // Its last output is read, because a full pipe would keep it from ending.
            if self.receive(PAUSE) == Err(Lost::Ended) {
                thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

/// Takes the next reply, and all that was written before it, out of what was read.
pub(crate) fn next_reply(read: &mut Vec<u8>) -> Option<String> {
    while let Some(end) = read.iter().position(|&byte| byte == b'\n') {
        let line: Vec<u8> = read.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        if let Some(reply) = line.strip_prefix(MARK) {
            return Some(reply.trim_end().to_owned());
        }
    }
    None
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < self.last_wait {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => write!(f, "its process ended"),
            Self::Silent(time) => write!(f, "no answer within {time:?}"),
        }
    }
}

impl Error for Lost {}

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        Self::other(format!("a worker is lost: {lost}"))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const AT_ONCE: Duration = Duration::from_millis(1);

    fn shell(script: &str) -> Worker {
        Worker::spawn(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn only_marked_lines_are_replies_and_none_is_lost() {
        let mut worker =
            shell("printf 'noise\n@touchfile one\n@touch\n\n@touchfile two words\n@touchfile cut'");
        assert_eq!(worker.receive(SOON).unwrap(), "one");
        assert_eq!(worker.receive(SOON).unwrap(), "two words");
        assert_eq!(worker.receive(SOON), Err(Lost::Ended));
    }

    #[test]
    fn a_command_is_answered_and_silence_is_told() {
        let mut worker = shell("while read line; do echo \"@touchfile $line\"; done");
        assert_eq!(worker.receive(AT_ONCE), Err(Lost::Silent(AT_ONCE)));
        assert_eq!(worker.ask("a b", SOON).unwrap(), "a b");
        assert!(worker.finish(SOON).unwrap().success());
    }

    #[test]
    fn a_stopped_worker_answers_once_it_goes_on() {
        let mut worker = shell("while read line; do echo \"@touchfile $line\"; done");
        for command in ["one", "two"] {
            worker.stop().unwrap();
            worker.send(command);
            assert_eq!(worker.receive(AT_ONCE), Err(Lost::Silent(AT_ONCE)));
            worker.resume().unwrap();
            assert_eq!(worker.receive(SOON).unwrap(), command);
        }
        worker.kill().unwrap();
        assert_eq!(worker.ask("three", SOON), Err(Lost::Ended));
    }

    #[test]
    fn a_worker_that_does_not_end_with_its_input_is_killed() {
        let worker = shell("exec sleep 60");
        let pid = worker.pid();
        assert_eq!(worker.finish(AT_ONCE), Err(Lost::Silent(AT_ONCE)));
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn an_abandoned_worker_is_killed() {
        let worker = shell("exec sleep 60");
        let pid = Pid::from_child(&worker.child);
        worker.abandon();
        let ended = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
        let signal = ended.unwrap().terminating_signal();
        assert_eq!(signal, Some(Signal::KILL.as_raw()));
    }
}
