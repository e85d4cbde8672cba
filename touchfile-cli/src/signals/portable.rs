//! Receiving through handlers, on systems that have no signalfd(2).
//!
//! Two things cannot be known here, and are documented as differences: where a signal comes from,
//! and whether the process was started to ignore it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::{Event, FORWARDED, FROM_KEYS};

/// How often to look for signals while there is a deadline.
const PAUSE: Duration = Duration::from_millis(20);

/// Signals as long as they have their usual effect.
#[derive(Debug)]
pub(crate) struct Untouched {}

impl Untouched {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Starts to receive.
    pub(crate) fn listen(self) -> io::Result<Signals> {
        let all = FORWARDED.into_iter().chain([Signal::SIGCHLD]);
        let signals = signal_hook::iterator::Signals::new(all.map(|signal| signal as i32))?;
        Ok(Signals { signals })
    }
}

/// Receives signals in place of their usual effect, for the rest of the process.
#[derive(Debug)]
pub(crate) struct Signals {
    signals: signal_hook::iterator::Signals,
}

impl Signals {
    /// Notes that the command has just been started.
    pub(crate) fn note_started(&mut self) {}

    /// Waits for the next event, until `deadline` if there is one.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> io::Result<Event> {
        let Some(deadline) = deadline else {
            for signal in &mut self.signals {
                if let Some(event) = event(signal)? {
                    return Ok(event);
                }
            }
            return Err(io::Error::other("the receiver of signals was closed"));
        };
        // It can be waited for without a limit only.
        while Instant::now() < deadline {
            if let Some(event) = self.signals.pending().next().map(event).transpose()? {
                match event {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            thread::sleep(PAUSE);
        }
        Ok(Event::DeadlinePassed)
    }
}

fn event(signal: i32) -> io::Result<Option<Event>> {
    Ok(match Signal::try_from(signal)? {
        Signal::SIGCHLD => Some(Event::ChildChanged),
        // Probably a key's, in the foreground of a terminal.
        signal if FROM_KEYS.contains(&signal) && is_in_foreground() => None,
        signal => Some(Event::Forward(signal)),
    })
}

fn is_in_foreground() -> bool {
    std::fs::File::open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}
