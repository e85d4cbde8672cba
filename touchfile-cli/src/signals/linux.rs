//! Receiving through signalfd(2), which tells a key from kill(2).

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

use super::{Event, FORWARDED, FROM_KEYS};

/// Receives signals in place of their usual effect, for the rest of the process.
///
/// They are blocked rather than handled: so a signal that this process was started to ignore, as by
/// nohup(1), stays ignored in the command.
#[derive(Debug)]
pub(crate) struct Signals {
    /// What was blocked before.
    blocked: SigSet,
    fd: SignalFd,
    /// Received and not handed out yet.
    early: VecDeque<Event>,
}

impl Signals {
    /// Starts to receive. Must be called while the process has one thread: another would go on
    /// to have the signals delivered to it.
    pub(crate) fn listen() -> io::Result<Self> {
        // Where SIGCHLD is ignored, as it may be by inheritance, children leave no exit status
        // (waitpid(2), NOTES). This handler does nothing but replace that.
        signal_hook::flag::register(Signal::SIGCHLD as i32, Arc::default())?;
        let mut set = SigSet::from_iter(FORWARDED);
        set.add(Signal::SIGCHLD);
        let blocked = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            blocked,
            fd,
            early: VecDeque::new(),
        })
    }

    /// The signal mask that the command is to start with: the one this process was started with.
    pub(crate) fn mask_before(&self) -> &SigSet {
        &self.blocked
    }

    /// Notes that the command has just been started.
    ///
    /// A key that was pressed until now may have come too early for the command to have its
    /// signal. It may also have come in time, but twice is better than never.
    pub(crate) fn note_started(&mut self) {
        while let Ok(Some(info)) = self.fd.read_signal() {
            self.early.extend(event(&info));
        }
    }

    /// Waits for the next event, until `deadline` if there is one.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> io::Result<Event> {
        if let Some(event) = self.early.pop_front() {
            return Ok(event);
        }
        loop {
            if let Some(info) = self.fd.read_signal()?
                && let Some(event) = event(&info)
                && !is_from_key(&info, event)
            {
                return Ok(event);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Event::DeadlinePassed);
            }
            // Rounded up, so as not to ask again and again in the last millisecond.
            let left = left.map_or(PollTimeout::NONE, |left| {
                let millis = left.as_millis().saturating_add(1);
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            });
            let mut readable = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut readable, left) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn event(info: &siginfo) -> Option<Event> {
    match Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()? {
        Signal::SIGCHLD => Some(Event::ChildChanged),
        signal => Some(Event::Forward(signal)),
    }
}

fn is_from_key(info: &siginfo, event: Event) -> bool {
    matches!(event, Event::Forward(signal) if FROM_KEYS.contains(&signal))
        && info.ssi_code == SI_KERNEL
}
