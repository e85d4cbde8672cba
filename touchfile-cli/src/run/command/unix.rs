//! Runs the command on Unix.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::io::FdFlags;
use touchfile::LockBackend;

use super::watch::LossWatch;
use super::{Ended, Supervision};
use crate::child::{Child, Launch};
use crate::exit::{Failure, say};
use crate::inherited::inherited;
use crate::init::ExitOnSignal;
pub(in crate::run) use crate::init::exit_on_signals;
use crate::run::locks::VARIABLE;
use crate::run::on_lost::OnLost;
use crate::run::{keeper, name};
use crate::signals::{Event, Signals};

/// What a handle must be for the command to inherit it.
pub(in crate::run) use std::os::fd::AsFd as Inheritable;

/// The variable with the path of the lock that is lost, for the command of `--on-lost`.
const LOST: &str = "TOUCHFILE_LOST";

/// The variable with the process id of the command, for the command of `--on-lost`.
const PID: &str = "TOUCHFILE_PID";

/// The signals after which a stopped process is not told to continue, as timeout(1) has it, or which stop
/// a process.
const WITHOUT_CONTINUING: [Signal; 6] = [
    Signal::SIGCONT,
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// The forwarded signals that should end a command, unless they were ignored when `touchfile` was
/// started, for example by nohup(1).
const TERMINATING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

impl<B> Supervision<'_, B>
where
    B: LockBackend,
    B::Handle: AsFd,
{
    /// Runs the command, forwards signals to it and waits for its end.
    pub(in crate::run) fn run(
        self,
        command: &[OsString],
        exit_on_signals: ExitOnSignal,
    ) -> Result<Ended, Failure> {
        let name = name(command);
        // The handlers are installed before the command starts, so that no signal is lost.
        let signals = Signals::listen();
        drop(exit_on_signals);
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
            lost: false,
        };
        let status = match &self.on_lost {
            Some(on_lost) => self.wait_and_watch(&mut running, &mut signals, on_lost),
            None => running.wait(&mut signals, |_| {}),
        };
        Ok(Ended {
            status: status.map_err(|error| Failure::wait(&name, &error))?,
            over: running.over,
            lost: running.lost,
        })
    }

    /// Waits for the end of the command, and looks at the locks in the meantime.
    fn wait_and_watch(
        &self,
        running: &mut Running<'_>,
        signals: &mut Signals,
        on_lost: &OnLost,
    ) -> io::Result<ExitStatus> {
        thread::scope(|scope| {
            let watch = match LossWatch::start(scope, self.held) {
                Ok((watch, pipe)) => {
                    signals.watch_for_loss(pipe);
                    Some(watch)
                }
                Err(error) => {
                    say(&format!("cannot watch for the loss of the lock: {error}"));
                    None
                }
            };
            running.wait(signals, |running| {
                if let Some(loss) = watch.as_ref().and_then(LossWatch::loss) {
                    let (line, path) = (loss.to_string(), loss.path().as_os_str().to_owned());
                    match on_lost {
                        OnLost::Signal(signal) => {
                            say(&format!("{line}; sending {signal} to {}", running.name));
                            running.tell(*signal);
                        }
                        OnLost::Command(script) => {
                            say(&format!("{line}; running the --on-lost command"));
                            if let Err(error) = self.start_beside(&running.child, script, path) {
                                say(&format!("cannot run the --on-lost command: {error}"));
                            }
                        }
                    }
                }
            })
        })
    }

    /// Starts a command of the shell beside the other. It does not inherit the locks.
    fn start_beside(&self, child: &Child, script: &OsString, lost: OsString) -> io::Result<()> {
        for guard in self.inherited {
            if let Some(handle) = guard.handle() {
                rustix::io::fcntl_setfd(handle.as_fd(), FdFlags::CLOEXEC)?;
            }
        }
        let words = ["/bin/sh".into(), "-c".into(), script.clone()];
        let pid = child.pid().to_string().into();
        let command = Launch::new(&words).env(LOST, lost).env(PID, pid);
        command.aside().start().map(drop)
    }

    /// Replaces this process by the command, which then holds the locks itself. It returns only if that
    /// fails, with the reason.
    pub(in crate::run) fn replace_this_process(self, command: &[OsString]) -> Failure {
        match self.prepare(command) {
            Ok((launch, _moved)) => Failure::spawn(&name(command), &launch.replace_this_process()),
            Err(failure) => failure,
        }
    }

    /// The command, and the descriptors that must be open until it has started.
    fn prepare<'a>(&self, command: &'a [OsString]) -> Result<(Launch<'a>, Vec<OwnedFd>), Failure> {
        let moved = self.let_inherit();
        let moved = moved.map_err(|error| Failure::inherit(&error))?;
        let mut launch = Launch::new(command);
        if let Some(locks) = &self.locks {
            launch = launch.env(VARIABLE, locks.clone());
        }
        Ok((launch, moved))
    }

    /// Lets the command inherit the descriptors of the locks. It need not know of them, because the kernel
    /// keeps a lock as long as any process has the file open.
    ///
    /// Descriptors that are open for writing are left with a [`keeper`] instead.
    ///
    /// No other process may be started after this, since it would inherit them, too. At least half of the
    /// numbers below the soft limit are left to the command. Other descriptors are duplicated above the
    /// limit. What was opened for the command is returned, and can be closed after the command has started.
    fn let_inherit(&self) -> io::Result<Vec<OwnedFd>> {
        let mut opened = Vec::new();
        let mut writable = Vec::new();
        let mut readable = Vec::new();
        for guard in self.inherited {
            let handle = guard.handle().ok_or(io::ErrorKind::NotFound)?.as_fd();
            let is_writable = keeper::is_writable(handle)?;
            let of_its_kind = if is_writable {
                &mut writable
            } else {
                &mut readable
            };
            of_its_kind.push(handle);
        }
        if !writable.is_empty() {
            let pipe = keeper::start(&writable)?;
            let_one_inherit(pipe.as_fd(), &mut opened)?;
            opened.push(pipe);
        }
        for handle in readable {
            let_one_inherit(handle, &mut opened)?;
        }
        Ok(opened)
    }
}

/// Lets the command inherit a descriptor, or a duplicate with a large number, which is added to `opened`.
fn let_one_inherit(descriptor: BorrowedFd<'_>, opened: &mut Vec<OwnedFd>) -> io::Result<()> {
    let limit = inherited().descriptor_limit().unwrap_or(RawFd::MAX);
    if descriptor.as_raw_fd() >= limit / 2
        && let Ok(above) = rustix::io::fcntl_dupfd_cloexec(descriptor, limit)
    {
        rustix::io::fcntl_setfd(&above, FdFlags::empty())?;
        opened.push(above);
    } else {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    Ok(())
}

/// A command that runs.
#[derive(Debug)]
struct Running<'a> {
    name: &'a str,
    child: Child,
    /// The time after which the command is sent SIGTERM.
    limit: Option<Timer>,
    /// The time after which the command is killed. It starts with the first signal that should end it.
    kill: Option<Timer>,
    /// Whether the command was sent SIGTERM because its time was over.
    over: bool,
    /// Whether a lock is lost.
    lost: bool,
}

impl Running<'_> {
    /// Waits until the command ends, forwards signals to it, and enforces its time limits. `on_lost` is called
    /// when a lock is lost.
    fn wait(&mut self, signals: &mut Signals, on_lost: impl Fn(&Self)) -> io::Result<ExitStatus> {
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
                    self.tell(Signal::SIGTERM);
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
                Ok(Event::LockLost) => {
                    self.lost = true;
                    on_lost(self);
                    self.kill.as_mut().map(Timer::start);
                    None
                }
                // No signals are forwarded any more, but the lock is held until the command ends.
                Err(_) => Some(self.child.wait()?),
            };
            if let Some(status) = done {
                return Ok(status);
            }
        }
    }

    /// Sends a signal that is to have its effect now. A stopped command must continue before it can end.
    fn tell(&self, signal: Signal) {
        self.send(signal);
        if !WITHOUT_CONTINUING.contains(&signal) {
            self.send(Signal::SIGCONT);
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

/// A time limit that is started at most once.
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

    /// The end of the time, if the timer was started and the end can be represented.
    fn end(&self) -> Option<Instant> {
        self.started?.checked_add(self.length)
    }
}
