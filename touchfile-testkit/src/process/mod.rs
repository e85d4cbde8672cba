//! The processes of a suite: the test binary itself, executed again.
//!
//! The suite [tells](Worker::tell) a worker a line and [hears](Worker::hear) one back. A worker
//! ends with its standard input. Where the backend lives in memory, a thread stands for a process
//! and is spoken to in the same way.

mod children;
mod obey;
mod order;
mod pool;
mod remote;
mod scenes;
mod serve;
mod thread;

use std::time::Duration;

pub(crate) use self::order::{Answer, InWords, Order, Slot};
pub(crate) use self::pool::Pool;
use self::remote::Remote;
pub(crate) use self::remote::{Command, suite_of_this_worker};
pub(crate) use self::serve::serve;
use self::thread::Thread;
pub(crate) use crate::worker::Lost;

/// A worker, as the suite sees it. Ended when it is dropped.
#[derive(Debug)]
pub(crate) enum Worker {
    Remote(Remote),
    Thread(Thread),
}

impl Worker {
    /// A process that was executed by this command.
    pub(crate) fn spawn(command: &Command) -> Result<Self, String> {
        Remote::spawn(command).map(Self::Remote)
    }

    /// A thread that stands for a process.
    pub(crate) fn thread(backend: touchfile_core::BoxBackend) -> Self {
        Self::Thread(Thread::new(backend))
    }

    /// Orders, and does not wait for the answer.
    pub(crate) fn tell(&mut self, order: &Order) {
        match self {
            Self::Remote(remote) => remote.send(order),
            Self::Thread(thread) => thread.send(order),
        }
    }

    /// The next answer.
    pub(crate) fn hear(&mut self, within: Duration) -> Result<Answer, Lost> {
        match self {
            Self::Remote(remote) => remote.receive(within),
            Self::Thread(thread) => thread.receive(within),
        }
    }

    pub(crate) fn ask(&mut self, order: &Order, within: Duration) -> Result<Answer, Lost> {
        self.tell(order);
        self.hear(within)
    }

    /// The process, if it is one.
    pub(crate) fn process(&self) -> Option<&crate::worker::Worker> {
        match self {
            Self::Remote(remote) => Some(remote.worker()),
            Self::Thread(_) => None,
        }
    }

    /// Lets it end by itself, and waits for that.
    pub(crate) fn finish(self) {
        if let Self::Remote(remote) = self {
            remote.finish();
        }
    }

    /// SIGKILL, and the wait for its end. A thread is left to itself.
    pub(crate) fn kill(self) {
        if let Self::Remote(remote) = self {
            remote.kill();
        }
    }
}
