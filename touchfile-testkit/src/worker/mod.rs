//! The processes of a suite: the test binary itself, executed again.
//!
//! The suite [tells](Worker::tell) a worker a line and [hears](Worker::hear) one back. A worker
//! ends with its standard input. Where the backend lives in memory, a thread stands for a process
//! and is spoken to in the same way.

mod children;
mod obey;
mod order;
mod pool;
mod process;
mod scenes;
mod serve;
mod thread;

use std::fmt;
use std::time::Duration;

use rustix::process::Pid;

pub(crate) use self::order::{Answer, InWords, Order, Slot};
pub(crate) use self::pool::Pool;
use self::process::Process;
pub(crate) use self::process::{Command, suite_of_this_worker};
pub(crate) use self::serve::serve;
use self::thread::Thread;

/// A worker, as the suite sees it. Ended when it is dropped.
#[derive(Debug)]
pub(crate) enum Worker {
    Process(Process),
    Thread(Thread),
}

/// Why a worker has not answered. It is of no use then.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Lost {
    /// It ended by itself.
    Ended,
    /// It has not answered within this time.
    Silent(Duration),
}

impl Worker {
    /// A process that was executed by this command.
    pub(crate) fn spawn(command: &Command) -> Result<Self, String> {
        Process::spawn(command).map(Self::Process)
    }

    /// A thread that stands for a process.
    pub(crate) fn thread(backend: touchfile_core::BoxBackend) -> Self {
        Self::Thread(Thread::new(backend))
    }

    /// Orders, and does not wait for the answer.
    pub(crate) fn tell(&mut self, order: &Order) {
        match self {
            Self::Process(process) => process.tell(order),
            Self::Thread(thread) => thread.tell(order),
        }
    }

    /// The next answer.
    pub(crate) fn hear(&mut self, within: Duration) -> Result<Answer, Lost> {
        match self {
            Self::Process(process) => process.hear(within),
            Self::Thread(thread) => thread.hear(within),
        }
    }

    pub(crate) fn ask(&mut self, order: &Order, within: Duration) -> Result<Answer, Lost> {
        self.tell(order);
        self.hear(within)
    }

    /// Its number, if it is a process.
    pub(crate) fn pid(&self) -> Option<Pid> {
        match self {
            Self::Process(process) => Some(process.pid()),
            Self::Thread(_) => None,
        }
    }

    /// Lets it end by itself, and waits for that.
    pub(crate) fn finish(self) {
        if let Self::Process(process) = self {
            process.finish();
        }
    }

    /// SIGKILL, and the wait for its end. A thread is left to itself.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => write!(f, "its process ended"),
            Self::Silent(time) => write!(f, "no answer within {time:?}"),
        }
    }
}
