//! The events of a world, in order.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::LockMode;

use crate::{Call, Failure};

/// An event in a [`World`](crate::World).
///
/// Its [`Display`](fmt::Display) form is a line such as
/// `1.500s: b waits for the exclusive lock on /a.lock`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The time since the creation of the world on tokio's clock. A test with a paused clock sees the
    /// same times on every run.
    pub at: Duration,
    /// The process that acted or that was acted on; `None` if the test itself changed a file.
    pub process: Option<String>,
    /// The path of the file, as its handle was opened.
    pub path: Option<PathBuf>,
    /// What happened.
    pub what: EventKind,
}

/// The kind of an [`Event`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A lock was taken.
    Acquired(LockMode),
    /// A handle was dropped.
    Closed,
    /// A held lock was converted to this mode.
    Converted(LockMode),
    /// A file was created.
    Created,
    /// A [`Fault`](crate::Fault) delayed a call by this time.
    Delayed(Call, Duration),
    /// A [`Fault`](crate::Fault) let a call fail.
    Failed(Call, Failure),
    /// The file got this second name.
    HardLinked(PathBuf),
    /// The process was killed. The next events release its locks.
    Killed,
    /// A lock was lost. Its handle still seems to hold it.
    LockLost(LockMode),
    /// A handle was opened.
    Opened,
    /// A [`Fault`](crate::Fault) let `try_lock` find the lock busy.
    Refused(LockMode),
    /// A lock was released.
    Released(LockMode),
    /// The file was renamed to this path.
    Renamed(PathBuf),
    /// A new file was renamed over this one.
    Replaced,
    /// A stopped process goes on.
    Resumed,
    /// A process was started.
    Started,
    /// A process was stopped.
    Stopped,
    /// A handle unlocked a lock that it had lost. Nothing was released.
    UnlockedLost(LockMode),
    /// The name of the file was removed.
    Unlinked,
    /// A wait ended because its future was dropped or its process was killed.
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

/// The events so far, and the time from which their times count.
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
    fn an_event_reads_as_a_line_of_text() {
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
