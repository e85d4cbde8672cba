//! This program, executed again as other processes: a line in, a line out.
//!
//! A test of locks needs processes that do as they are told, and that it can stop and kill. A
//! [`Worker`] is such a process as its parent sees it; the process itself reads [`Commands`] and
//! [replies](reply). Every conformance suite, and the tests of touchfile itself, stand on this.
//!
//! A process that was executed has one thread, no locks and no other state, whatever its parent has:
//! a forked child would have a copy of everything.
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

use std::env;
use std::error::Error;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::countdown::Countdown;
use crate::system::{self, Output};

/// What each reply begins with, so that a worker may print what it likes besides.
const MARK: &str = "@touchfile ";

/// How long a dropped worker is waited for. One that hangs in the kernel, on a network file system
/// whose server is gone, cannot die before that answers.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A command that executes this program, to which arguments and variables can be added.
///
/// # Errors
///
/// If the system does not tell the path of this program.
pub fn this_program() -> io::Result<Command> {
    env::current_exe().map(Command::new)
}

/// A process that obeys, as its parent sees it. It is killed when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    /// Until the process is to end.
    input: Option<ChildStdin>,
    output: Output,
    /// What was read and is not yet a whole line.
    read: Vec<u8>,
}

/// Why a worker has not replied.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lost {
    /// It has ended, or has closed its standard output.
    Ended,
    /// It has not replied within this time.
    Silent(Duration),
}

impl Worker {
    /// Starts a process whose standard input and output are this worker's.
    ///
    /// # Errors
    ///
    /// If the command cannot be executed.
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
        })
    }

    /// Sends a command of one line, and does not wait for the reply.
    ///
    /// A worker that has ended does not hear it, which shows when it does not reply.
    pub fn send(&mut self, command: impl Display) {
        if let Some(input) = &mut self.input {
            input.write_all(format!("{command}\n").as_bytes()).ok();
        }
    }

    /// The next reply. The time for which this process is itself stopped does not count.
    ///
    /// # Errors
    ///
    /// If the worker has ended, or does not reply within this time.
    pub fn receive(&mut self, within: Duration) -> Result<String, Lost> {
        let mut countdown = Countdown::new(within);
        loop {
            while let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(reply) = line.strip_prefix(MARK) {
                    return Ok(reply.trim_end().to_owned());
                }
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

    /// The number of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process with SIGSTOP, and waits until it has stopped or ended.
    ///
    /// # Errors
    ///
    /// If the process has ended and was waited for; [`io::ErrorKind::Unsupported`] on Windows.
    pub fn stop(&self) -> io::Result<()> {
        system::stop(&self.child)
    }

    /// Lets the process go on with SIGCONT.
    ///
    /// # Errors
    ///
    /// If the process has ended and was waited for; [`io::ErrorKind::Unsupported`] on Windows.
    pub fn resume(&self) -> io::Result<()> {
        system::resume(&self.child)
    }

    /// Kills the process with SIGKILL, or on Windows with TerminateProcess, and waits until it has ended.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`].
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends the standard input of the process, waits until it has ended, and returns how it did.
    ///
    /// # Errors
    ///
    /// If it does not end within this time; then it is killed.
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
            // What it says last is read, so that no full pipe keeps it from ending.
            if self.receive(PAUSE) == Err(Lost::Ended) {
                thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < LAST_WAIT {
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

/// The commands that a worker is sent: one for each line of standard input, until that ends.
#[derive(Debug)]
pub struct Commands(BufReader<File>);

impl Commands {
    /// Reads a copy of the descriptor of standard input, so that any thread may.
    ///
    /// # Errors
    ///
    /// If this process may open no more files.
    pub fn new() -> io::Result<Self> {
        Ok(Self(BufReader::new(system::input()?)))
    }
}

impl Iterator for Commands {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                line.truncate(line.trim_end_matches(['\n', '\r']).len());
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Replies to the parent with one line.
///
/// # Errors
///
/// If nobody reads standard output any more.
pub fn reply(line: impl Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    // A line of something else may have begun.
    output.write_all(format!("\n{MARK}{line}\n").as_bytes())?;
    output.flush()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
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
}
