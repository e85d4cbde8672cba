//! The processes of a suite: the test program itself, executed again.
//!
//! The suite [sends](Process::send) commands to a process and [receives](Process::receive) answers. A
//! process ends when its standard input ends. For a backend in memory a thread stands for a process,
//! and executes the same commands.

mod children;
mod command;
mod execute;
mod outcome;
mod place;
mod pool;
mod remote;
mod scripts;
mod serve;
mod thread;

use std::any::Any;
use std::time::Duration;

use touchfile_core::BoxBackend;

pub(crate) use self::command::{Answer, Command, Slot, any_path};
pub(crate) use self::outcome::ScriptOutcome;
pub use self::place::Place;
pub(crate) use self::pool::Pool;
use self::remote::Remote;
pub(crate) use self::remote::{Launch, suite_of_this_worker};
pub(crate) use self::scripts::refusals::is_right_refusal;
pub(crate) use self::serve::serve;
use self::thread::Thread;
pub(crate) use crate::worker::Lost;
use crate::worker::Worker;

/// A process of the suite, or a thread that stands for one. It ends when this is dropped.
#[derive(Debug)]
pub(crate) enum Process {
    Remote(Remote),
    Thread(Thread),
}

impl Process {
    pub(crate) fn launch(launch: &Launch) -> Result<Self, String> {
        Remote::launch(launch).map(Self::Remote)
    }

    /// A thread that stands for a process.
    pub(crate) fn thread(backend: BoxBackend) -> Self {
        Self::Thread(Thread::new(backend))
    }

    /// Sends a command, and does not wait for the answer.
    pub(crate) fn send(&mut self, command: &Command) {
        match self {
            Self::Remote(remote) => remote.send(command),
            Self::Thread(thread) => thread.send(command),
        }
    }

    /// The next answer.
    pub(crate) fn receive(&mut self, within: Duration) -> Result<Answer, Lost> {
        match self {
            Self::Remote(remote) => remote.receive(within),
            Self::Thread(thread) => thread.receive(within),
        }
    }

    pub(crate) fn ask(&mut self, command: &Command, within: Duration) -> Result<Answer, Lost> {
        self.send(command);
        self.receive(within)
    }

    /// The worker process, if this is not a thread.
    pub(crate) fn worker(&self) -> Option<&Worker> {
        match self {
            Self::Remote(remote) => Some(remote.worker()),
            Self::Thread(_) => None,
        }
    }

    /// Closes the standard input of the process, and waits for its end.
    pub(crate) fn finish(self) {
        if let Self::Remote(remote) = self {
            remote.finish();
        }
    }

    /// Kills the process with SIGKILL, and waits for its end. A thread ends with its last command.
    pub(crate) fn kill(self) {
        if let Self::Remote(remote) = self {
            remote.kill();
        }
    }
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}
