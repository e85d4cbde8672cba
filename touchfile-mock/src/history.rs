//! What happened in a world, in order.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::LockMode;

use crate::{Call, Failure};

/// One thing that happened in a [`World`](crate::World).
///
/// Displays as a line of a story: `1.500s: b waits for the exclusive lock on /a.lock`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// When, counted from the world's creation on tokio's clock, so that a test whose clock is
    /// paused sees the same times on every run.
    pub at: Duration,
    /// The process it happened in or to; `None` for what the test itself did to a file.
    pub process: Option<String>,
    /// The file it happened to, by the path its handle was opened with.
    pub path: Option<PathBuf>,
    /// What happened.
    pub what: EventKind,
}

/// What an [`Event`] tells.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A lock was taken.
    Acquired(LockMode),
    /// A handle was dropped.
    Closed,
    /// A held lock changed its mode, to this one.
    Converted(LockMode),
    /// A file was created.
    Created,
    /// A [`Fault`](crate::Fault) made a call wait this long.
    Delayed(Call, Duration),
    /// A [`Fault`](crate::Fault) made a call fail.
    Failed(Call, Failure),
    /// The file got this second name.
    HardLinked(PathBuf),
    /// The process was killed; what it held is released in the events that follow.
    Killed,
    /// A lock vanished while its handle believes to hold it.
    LockLost(LockMode),
    /// A handle was opened.
    Opened,
    /// A [`Fault`](crate::Fault) made a `try_lock` find the lock busy.
    Refused(LockMode),
    /// A lock was released.
    Released(LockMode),
    /// The file was renamed to this.
    Renamed(PathBuf),
    /// A fresh file was renamed over this one.
    Replaced,
    /// A stopped process goes on.
    Resumed,
    /// A process began.
    Started,
    /// A process was stopped.
    Stopped,
    /// A handle unlocked a lock that it had lost before; nothing was released.
    UnlockedLost(LockMode),
    /// The name was removed.
    Unlinked,
    /// A waiter gave up: its future was dropped, or its process killed.
    WaitCancelled(LockMode),
    /// A waiter joined the queue.
    WaitStarted(LockMode),
    /// A `try_lock` found a conflicting holder.
    WouldBlock(LockMode),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.process.as_deref().unwrap_or("the test");
        let path = self.path.as_deref().unwrap_or(Path::new("")).display();
        write!(f, "{:.3}s: {who} ", self.at.as_secs_f64())?;
        match &self.what {
            EventKind::Acquired(mode) => write!(f, "took the {mode} lock on {path}"),
            EventKind::Closed => write!(f, "closed {path}"),
            EventKind::Converted(mode) => write!(f, "made its lock on {path} {mode}"),
            EventKind::Created => write!(f, "created {path}"),
            EventKind::Delayed(call, by) => write!(f, "is held up {by:?} in {call} on {path}"),
            EventKind::Failed(call, failure) => write!(f, "failed to {call} {path}: {failure}"),
            EventKind::HardLinked(to) => write!(f, "linked {path} to {}", to.display()),
            EventKind::Killed => write!(f, "was killed"),
            EventKind::LockLost(mode) => {
                write!(f, "lost the {mode} lock on {path} without noticing")
            }
            EventKind::Opened => write!(f, "opened {path}"),
            EventKind::Refused(mode) => {
                write!(f, "was refused the free {mode} lock on {path} by a fault")
            }
            EventKind::Released(mode) => write!(f, "released the {mode} lock on {path}"),
            EventKind::Renamed(to) => write!(f, "renamed {path} to {}", to.display()),
            EventKind::Replaced => write!(f, "replaced {path} by a fresh file"),
            EventKind::Resumed => write!(f, "was resumed"),
            EventKind::Started => write!(f, "was started"),
            EventKind::Stopped => write!(f, "was stopped"),
            EventKind::UnlockedLost(mode) => {
                write!(f, "unlocked the {mode} lock on {path} that it had lost")
            }
            EventKind::Unlinked => write!(f, "unlinked {path}"),
            EventKind::WaitCancelled(mode) => {
                write!(f, "stopped waiting for the {mode} lock on {path}")
            }
            EventKind::WaitStarted(mode) => write!(f, "waits for the {mode} lock on {path}"),
            EventKind::WouldBlock(mode) => write!(f, "found the {mode} lock on {path} busy"),
        }
    }
}

/// The events so far and the moment they are counted from.
#[derive(Debug)]
pub(crate) struct History {
    start: Instant,
    events: Vec<Event>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            events: Vec::new(),
        }
    }

    pub(crate) fn record(&mut self, process: Option<&str>, path: Option<&Path>, what: EventKind) {
        self.events.push(Event {
            at: Instant::now().saturating_duration_since(self.start),
            process: process.map(str::to_owned),
            path: path.map(Path::to_owned),
            what,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_event_reads_as_a_line_of_a_story() {
        let event = |process: Option<&str>, what| Event {
            at: Duration::from_millis(1500),
            process: process.map(str::to_owned),
            path: Some("/a.lock".into()),
            what,
        };
        let waits = event(Some("b"), EventKind::WaitStarted(LockMode::Exclusive));
        assert_eq!(
            waits.to_string(),
            "1.500s: b waits for the exclusive lock on /a.lock"
        );
        assert_eq!(
            event(None, EventKind::Unlinked).to_string(),
            "1.500s: the test unlinked /a.lock"
        );
        let failed = EventKind::Failed(Call::Unlock, io::ErrorKind::NotConnected.into());
        assert_eq!(
            event(Some("a"), failed).to_string(),
            "1.500s: a failed to unlock /a.lock: not connected"
        );
    }
}
