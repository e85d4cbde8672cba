//! Receives signals while the lock is held, and decides which to forward to the command.
//!
//! A signal that ended `touchfile` would release the lock while the command still runs. So signals from
//! people and programs are forwarded, and `touchfile` ends when the command ends. Before the lock is held
//! there are no handlers, and signals have their usual effect.
//!
//! Ctrl-C and Ctrl-\ are different. A terminal sends their signals to every process of the foreground
//! process group, so the command receives them anyway. A second signal would do harm, because many
//! programs clean up at the first one and end at once at the second.

use std::collections::VecDeque;
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc::siginfo_t;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

/// An event while a command runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A child has ended, stopped or continued.
    ChildChanged,
    /// The deadline for the next event has passed.
    DeadlinePassed,
    /// This signal is to be forwarded to the command.
    Forward(Signal),
    /// A lock is lost.
    LockLost,
}

/// The signals that are forwarded.
pub(crate) const FORWARDED: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The signals that a terminal sends to the whole foreground process group when a key is pressed. SIGHUP
/// is not among them, because at a hangup the kernel may send it to the session leader only.
const FROM_KEYS: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// Receives signals, which have no other effect from then on.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
    /// The signals that were received and not returned yet.
    received: VecDeque<Event>,
    /// A pipe that becomes readable when a lock is lost.
    loss: Option<PipeReader>,
}

impl Signals {
    /// Starts to receive signals.
    ///
    /// Signals that were ignored are received, too: if SIGCHLD were ignored, children would leave no exit
    /// status (waitpid(2), NOTES), and the command may handle other signals. Blocked signals that were
    /// sent before are received now.
    pub(crate) fn listen() -> io::Result<Self> {
        let signals = || FORWARDED.into_iter().chain([Signal::SIGCHLD]);
        let (read, write) = UnixStream::pair()?;
        let numbers = signals().map(|signal| signal as i32);
        let delivery = SignalDelivery::with_pipe(read, write, WithRawSiginfo, numbers)?;
        SigSet::from_iter(signals()).thread_unblock()?;
        Ok(Self {
            delivery,
            received: VecDeque::new(),
            loss: None,
        })
    }

    /// Notes that the command has just been started.
    ///
    /// The signal of a key that was pressed before may have come too early for the command. So it is
    /// forwarded, even if the command may receive it twice.
    pub(crate) fn note_started(&mut self) {
        self.received
            .extend(self.delivery.pending().filter_map(|info| event(&info)));
    }

    /// Returns [`Event::LockLost`] once when `pipe` becomes readable.
    pub(crate) fn watch_for_loss(&mut self, pipe: PipeReader) {
        self.loss = Some(pipe);
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
            // The time is rounded up, so that the loop does not spin in the last millisecond.
            let left = left.map_or(PollTimeout::NONE, |left| {
                let millis = left.as_millis().saturating_add(1);
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            });
            let loss = self.loss.as_ref().map(AsFd::as_fd);
            let pipes = [self.delivery.get_read().as_fd()].into_iter().chain(loss);
            let mut pipes: Vec<_> = pipes
                .map(|pipe| PollFd::new(pipe, PollFlags::POLLIN))
                .collect();
            match poll(&mut pipes, left) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let is_lost = pipes.get(1).and_then(PollFd::any).unwrap_or(false);
            if is_lost {
                self.loss = None;
                return Ok(Event::LockLost);
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

/// Whether a signal probably comes from a key. Its origin is not known on every system, and in the
/// foreground of a terminal it most likely comes from a key.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn is_from_terminal(_: &siginfo_t) -> bool {
    use nix::unistd::{getpgrp, tcgetpgrp};

    std::fs::File::open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}
