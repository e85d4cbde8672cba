//! Receiving signals, from when the lock is held, and telling which to pass on to the command.
//!
//! A signal that would end `touchfile` would release the lock while the command still runs. So
//! all that people and programs send each other are passed on instead, and `touchfile` ends when
//! the command does. Before that they have their usual effect: there are no handlers yet.
//!
//! Ctrl-C and Ctrl-\ are different. A terminal sends their signals to every process of the
//! foreground process group, so the command has them already, and to send them once more would
//! do harm: many programs clean up at the first and drop everything at the second.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc::siginfo_t;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

/// What the supervisor of a command has to react to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A child has ended, stopped or continued.
    ChildChanged,
    /// The time is over that was given for the next event.
    DeadlinePassed,
    /// The command is to have this signal.
    Forward(Signal),
}

/// What is passed on.
const FORWARDED: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// What a terminal sends to the whole foreground process group when a key is pressed. SIGHUP is
/// not one of them: at a hangup the kernel may send it to the session leader alone.
const FROM_KEYS: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// Receives signals in place of their usual effect, for the rest of the process.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
    /// Received and not handed out yet.
    received: VecDeque<Event>,
}

impl Signals {
    /// Starts to receive.
    ///
    /// The handlers replace what was ignored, too: where SIGCHLD is, children leave no exit status
    /// (waitpid(2), NOTES), and the command may handle what it finds ignored. What was blocked and
    /// has been sent meanwhile is received now.
    pub(crate) fn listen() -> io::Result<Self> {
        let signals = || FORWARDED.into_iter().chain([Signal::SIGCHLD]);
        let (read, write) = UnixStream::pair()?;
        let numbers = signals().map(|signal| signal as i32);
        let delivery = SignalDelivery::with_pipe(read, write, WithRawSiginfo, numbers)?;
        SigSet::from_iter(signals()).thread_unblock()?;
        Ok(Self {
            delivery,
            received: VecDeque::new(),
        })
    }

    /// Notes that the command has just been started.
    ///
    /// A key that was pressed until now may have come too early for the command to have its
    /// signal. It may also have come in time, but twice is better than never.
    pub(crate) fn note_started(&mut self) {
        self.received
            .extend(self.delivery.pending().filter_map(|info| event(&info)));
    }

    /// Waits for the next event, until `deadline` if there is one.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> io::Result<Event> {
        loop {
            if let Some(event) = self.received.pop_front() {
                return Ok(event);
            }
            let pending = self.delivery.pending();
            let pending = pending.filter(|info| !is_from_key(info));
            self.received
                .extend(pending.filter_map(|info| event(&info)));
            if !self.received.is_empty() {
                continue;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Event::DeadlinePassed);
            }
            // The time is rounded up, so that the last millisecond is not polled in a loop.
            let left = left.map_or(PollTimeout::NONE, |left| {
                let millis = left.as_millis().saturating_add(1);
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            });
            let pipe = self.delivery.get_read().as_fd();
            match poll(&mut [PollFd::new(pipe, PollFlags::POLLIN)], left) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn event(info: &siginfo_t) -> Option<Event> {
    match Signal::try_from(info.si_signo).ok()? {
        Signal::SIGCHLD => Some(Event::ChildChanged),
        signal => Some(Event::Forward(signal)),
    }
}

fn is_from_key(info: &siginfo_t) -> bool {
    let signal = Signal::try_from(info.si_signo);
    signal.is_ok_and(|signal| FROM_KEYS.contains(&signal)) && is_from_terminal(info)
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn is_from_terminal(info: &siginfo_t) -> bool {
    info.si_code == nix::libc::SI_KERNEL
}

/// Where a signal comes from cannot be known everywhere: in the foreground of a terminal it is
/// probably a key's.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn is_from_terminal(_: &siginfo_t) -> bool {
    use nix::unistd::{getpgrp, tcgetpgrp};

    std::fs::File::open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}
