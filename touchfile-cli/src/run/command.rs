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
    /// How long it may run.
    pub(super) limit: Option<Duration>,
}

impl<B> Supervision<'_, B>
where
    B: LockBackend,
    B::Handle: AsFd,
{
    /// Runs the command and waits for its end, passing signals on to it.
    pub(super) fn run(self, command: &[OsString], mortal: Mortal) -> Result<Ended, Failure> {
        let name = name(command);
        // Before the command exists, so that no signal falls between.
        let signals = Signals::listen();
        drop(mortal);
        let mut signals = signals.map_err(|error| Failure::signals(&error))?;
        let (launch, moved) = self.prepare(command)?;
        let started = launch.start();
        let child = started.map_err(|error| Failure::spawn(&name, &error))?;
        signals.note_started();
        drop(moved);
        let mut running = Running {
            name: &name,
            child,
            limit: self.limit.map(Timer::started),
            kill: self.kill_after.map(Timer::new),
            over: false,
        };
        let status = running.wait(&mut signals);
        Ok(Ended {
            status: status.map_err(|error| Failure::wait(&name, &error))?,
            over: running.over,
        })
    }

    /// Becomes the command, which then holds the locks itself. Returns why it does not.
    pub(super) fn replace_this_process(self, command: &[OsString]) -> Failure {
        match self.prepare(command) {
            Ok((launch, _moved)) => Failure::spawn(&name(command), &launch.replace_this_process()),
            Err(failure) => failure,
        }
    }

    /// The command with what it is to inherit, and descriptors to keep until it has it.
    fn prepare<'a>(&self, command: &'a [OsString]) -> Result<(Launch<'a>, Vec<OwnedFd>), Failure> {
        let moved = self.let_inherit();
        let moved = moved.map_err(|error| Failure::inherit(&error))?;
        let mut launch = Launch::new(command);
        if let Some(locks) = &self.locks {
            launch = launch.env(VARIABLE, locks.clone());
        }
        Ok((launch, moved))
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

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// It was told to, since its time was over.
    pub(super) over: bool,
}

/// A command that was started.
#[derive(Debug)]
struct Running<'a> {
    name: &'a str,
    child: Child,
    /// When it is told to end.
    limit: Option<Timer>,
    /// When it is killed, from when it was first told to end.
    kill: Option<Timer>,
    /// Whether the limit has passed.
    over: bool,
}

impl Running<'_> {
    /// Waits for its end, passes signals on to it, and minds its time.
    fn wait(&mut self, signals: &mut Signals) -> io::Result<ExitStatus> {
        loop {
            let kill = self.kill.as_ref().and_then(Timer::end);
            let limit = self.limit.as_ref().and_then(Timer::end);
            let next = [kill, limit].into_iter().flatten().min();
            let done = match signals.next(next) {
                Ok(Event::ChildChanged) => self.child.try_wait()?,
                Ok(Event::DeadlinePassed) if kill == next => {
                    self.kill = None;
                    self.send(Signal::SIGKILL);
                    None
                }
                Ok(Event::DeadlinePassed) => {
                    self.limit = None;
                    self.over = true;
                    self.send(Signal::SIGTERM);
                    // Where it is stopped, so that it can end.
                    self.send(Signal::SIGCONT);
                    self.kill.as_mut().map(Timer::start);
                    None
                }
                Ok(Event::Forward(signal)) => {
                    self.send(signal);
                    if TERMINATING.contains(&signal) && !inherited().ignores(signal) {
                        self.kill.as_mut().map(Timer::start);
                    }
                    None
                }
                // Then signals are not passed on, but the lock is held for as long as it must be.
                Err(_) => Some(self.child.wait()?),
            };
            if let Some(status) = done {
                return Ok(status);
            }
        }
    }

    fn send(&self, signal: Signal) {
        if let Err(error) = self.child.send(signal) {
            say(&format!(
                "cannot pass {signal} on to {}: {error}",
                self.name
            ));
        }
    }
}

/// A time that begins to run once.
#[derive(Debug)]
struct Timer {
    length: Duration,
    started: Option<Instant>,
}

impl Timer {
    fn new(length: Duration) -> Self {
        Self {
            length,
            started: None,
        }
    }

    fn started(length: Duration) -> Self {
        let mut timer = Self::new(length);
        timer.start();
        timer
    }

    fn start(&mut self) {
        self.started.get_or_insert_with(Instant::now);
    }

    /// A time beyond the end of time does not end.
    fn end(&self) -> Option<Instant> {
        self.started?.checked_add(self.length)
    }
}
