//! The messages of errors, and their causes.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use super::Error;
use crate::{Holder, LockMode};

/// The message never repeats the [`source`](std::error::Error::source).
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::Deadlock { mode, .. } => write!(
                f,
                "the {mode} lock on {path} would be waited for by the task or thread that has taken it"
            ),
            Self::InvalidPath { path, reason, .. } => {
                write!(f, "cannot use {} as a lock file: {reason}", visible(path))
            }
            Self::Io { operation, .. } => write!(f, "cannot {operation} {path}"),
            Self::Lost { mode, loss, .. } => write!(f, "the {mode} lock on {path} is lost: {loss}"),
            Self::Permission { operation, .. } => write!(f, "no permission to {operation} {path}"),
            Self::Release { mode, .. } => write!(f, "releasing the {mode} lock on {path} failed"),
            Self::Replaced { times, .. } => write!(
                f,
                "{path} was replaced {times} times while its lock was being taken; something else \
                 keeps removing or renaming it"
            ),
            Self::Timeout {
                mode,
                permits,
                waited,
                holders,
                queued,
                recursive,
                ..
            } => write!(
                f,
                "gave up after {waited:.1?} waiting for {} {path}{}",
                what(*mode, *permits),
                in_the_way(holders, *queued, *recursive)
            ),
            Self::Transient { operation, .. } => {
                write!(f, "cannot {operation} {path} at the moment")
            }
            Self::Unsupported {
                backend, operation, ..
            } => write!(f, "the {backend} backend cannot {operation} {path}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidPath { source, .. } => source.as_ref().map(|source| source as _),
            Self::Io { source, .. }
            | Self::Permission { source, .. }
            | Self::Release { source, .. }
            | Self::Transient { source, .. }
            | Self::Unsupported { source, .. } => Some(source),
            Self::Deadlock { .. }
            | Self::Lost { .. }
            | Self::Replaced { .. }
            | Self::Timeout { .. } => None,
        }
    }
}

/// What is waited for, before the path.
pub(crate) fn what(mode: LockMode, permits: Option<usize>) -> String {
    match permits {
        Some(1) => "the permit of".into(),
        Some(permits) => format!("one of the {permits} permits of"),
        None => format!("the {mode} lock on"),
    }
}

/// How a message ends that is about a lock which was not had.
fn in_the_way(holders: &[Holder], queued: bool, recursive: bool) -> String {
    const ITSELF: &str = "by the task or thread that waited for it";
    match Holder::in_words(holders) {
        Some(words) if recursive => format!(", {words}, {ITSELF}"),
        None if recursive => format!(", held {ITSELF}"),
        Some(words) => format!(", {words}"),
        None if queued => {
            ", behind another of this process: a guard, or a waiting future that is not polled"
                .into()
        }
        None => String::new(),
    }
}

/// A path as a message shows it. An empty one would not be seen.
fn visible(path: &Path) -> Cow<'_, str> {
    if path.as_os_str().is_empty() {
        "\"\"".into()
    } else {
        path.to_string_lossy()
    }
}
