//! Running the command, from when the locks are held.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::io::FdFlags;
use touchfile::LockBackend;

use super::locks::{Held, VARIABLE};
use super::name;
use crate::child::{Child, Launch};
use crate::exit::{Failure, say};
use crate::inherited::inherited;
use crate::init::Mortal;
use crate::signals::{Event, Signals};

/// What is meant to end a command, unless it was ignored from the start, as by nohup(1). The others
/// that are passed on have no such meaning.
const TERMINATING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// How to run the command.
#[derive(Debug)]
pub(super) struct Supervision<'a, B: LockBackend> {
    /// What to tell it that is held.
    pub(super) locks: Option<OsString>,
    /// Which locks to leave to it if this process is killed.
    pub(super) inherited: &'a [Held<B>],
    /// How long it may take to end after it was told to.
    pub(super) kill_after: Option<Duration>,
}

impl<B> Supervision<'_, B>
where
    B: LockBackend,
    B::Handle: AsFd,
{
    /// Runs the command and waits for its end, passing signals on to it.
    pub(super) fn run(self, command: &[OsString], mortal: Mortal) -> Result<ExitStatus, Failure> {
        let name = name(command);
        // Before the command exists, so that no signal falls between.
        let signals = Signals::listen();
        drop(mortal);
        let mut signals = signals.map_err(|error| Failure::signals(&error))?;
        let moved = self
            .let_inherit()
            .map_err(|error| Failure::inherit(&error))?;
        let mut launch = Launch::new(command);
        if let Some(locks) = self.locks {
            launch = launch.env(VARIABLE, locks);
        }
        let mut child = launch
            .start()
            .map_err(|error| Failure::spawn(&name, &error))?;
        signals.note_started();
        drop(moved);
        let mut patience = self.kill_after.map(Reprieve::new);
        loop {
            let deadline = patience.as_ref().and_then(Reprieve::end);
            let done = match signals.next(deadline) {
                Ok(Event::ChildChanged) => child.try_wait(),
                Ok(Event::DeadlinePassed) => {
                    patience = None;
                    send(&child, Signal::SIGKILL, &name);
                    Ok(None)
                }
                Ok(Event::Forward(signal)) => {
                    send(&child, signal, &name);
                    if let Some(patience) = &mut patience
                        && TERMINATING.contains(&signal)
                        && !inherited().ignores(signal)
                    {
                        patience.start();
                    }
                    Ok(None)
                }
                // Then signals are not passed on, but the lock is held for as long as it must be.
                Err(_) => child.wait().map(Some),
            };
            if let Some(status) = done.map_err(|error| Failure::wait(&name, &error))? {
                return Ok(status);
            }
        }
    }

    /// Lets the command have the descriptors on which the locks are. It need not know of them: the
    /// kernel keeps a lock for as long as anybody has the open file.
    ///
    /// No other process is started after this, which would have them as well. The command is to keep
    /// at least half of the numbers below its soft limit, so the others are moved above that; they are
    /// returned, and can be closed when the command is started.
    fn let_inherit(&self) -> io::Result<Vec<OwnedFd>> {
        let limit = inherited().descriptor_limit().unwrap_or(RawFd::MAX);
        let mut moved = Vec::new();
        for guard in self.inherited {
            let handle = guard.handle().ok_or(io::ErrorKind::NotFound)?;
            if handle.as_fd().as_raw_fd() >= limit / 2
                && let Ok(above) = rustix::io::fcntl_dupfd_cloexec(handle, limit)
            {
                rustix::io::fcntl_setfd(&above, FdFlags::empty())?;
                moved.push(above);
            } else {
                rustix::io::fcntl_setfd(handle, FdFlags::empty())?;
            }
        }
        Ok(moved)
    }
}

fn send(child: &Child, signal: Signal, name: &str) {
    if let Err(error) = child.send(signal) {
        say(&format!("cannot pass {signal} on to {name}: {error}"));
    }
}

/// The time a command has left, from when it was first told to end.
#[derive(Debug)]
struct Reprieve {
    length: Duration,
    started: Option<Instant>,
}

impl Reprieve {
    fn new(length: Duration) -> Self {
        Self {
            length,
            started: None,
        }
    }

    fn start(&mut self) {
        self.started.get_or_insert_with(Instant::now);
    }

    /// A time beyond the end of time does not end.
    fn end(&self) -> Option<Instant> {
        self.started?.checked_add(self.length)
    }
}
