//! Receiving through signalfd(2), which tells a key from kill(2).

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

use super::{Event, FORWARDED, FROM_KEYS};

/// Signals as long as they have their usual effect, in a process that is going to receive them.
///
/// A thread that does nothing else is there for them. All others, whoever starts them, have them
/// blocked: so there is none left that takes them away once they are to be received.
#[derive(Debug)]
pub(crate) struct Untouched {
    fd: SignalFd,
    /// The thread ends with it.
    thread: (Sender<()>, JoinHandle<()>),
}

impl Untouched {
    /// Must be called while the process has one thread.
    pub(crate) fn new() -> io::Result<Self> {
        let (end, until_end) = channel::<()>();
        let thread = thread::Builder::new()
            .name("touchfile-signal".into())
            .spawn(move || {
                until_end.recv().ok();
            })?;
        let mut set = SigSet::from_iter(FORWARDED);
        set.add(Signal::SIGCHLD);
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            fd,
            thread: (end, thread),
        })
    }

    /// Starts to receive.
    pub(crate) fn listen(self) -> io::Result<Signals> {
        // Where SIGCHLD is ignored, as it may be by inheritance, children leave no exit status
        // (waitpid(2), NOTES). This handler does nothing but replace that.
        signal_hook::flag::register(Signal::SIGCHLD as i32, Arc::default())?;
        let (end, thread) = self.thread;
        drop(end);
        thread
            .join()
            .map_err(|_| io::Error::other("the thread for signals panicked"))?;
        Ok(Signals {
            fd: self.fd,
            early: VecDeque::new(),
        })
    }
}

/// Receives signals in place of their usual effect, for the rest of the process.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: SignalFd,
    /// Received and not handed out yet.
    early: VecDeque<Event>,
}

impl Signals {
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
