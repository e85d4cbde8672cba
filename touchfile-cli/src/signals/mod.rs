//! Signals, from when the lock is held: which there are to pass on, and passing them on.
//!
//! A signal that would end `touchfile` would release the lock while the command still runs. So
//! all that people and programs send each other are passed on instead, and `touchfile` ends when
//! the command does.
//!
//! Ctrl-C and Ctrl-\ are different. A terminal sends their signals to every process of the
//! foreground process group, so the command has them already, and to send them once more would
//! do harm: many programs clean up at the first and drop everything at the second.

#[cfg(any(target_os = "android", target_os = "linux"))]
mod linux;
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) use linux::Untouched;

#[cfg(not(any(target_os = "android", target_os = "linux")))]
mod portable;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) use portable::Untouched;

use nix::sys::signal::Signal;

/// What there is to do for whoever has a command running.
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
