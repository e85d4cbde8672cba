//! What can go wrong, told apart by what a caller can do about it.

mod convert;
mod debug;
mod operation;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use operation::{Loss, Operation};

use crate::{Holder, LockMode};

/// The result of an operation on a touch file.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a lock was not taken, or not released as it should have been.
///
/// Every variant names the path. The message never repeats its
/// [`source`](std::error::Error::source): print the chain to see the cause. `{:?}` prints the message
/// and its causes, so that a `main` that returns an error prints a sentence; `{:#?}` prints the
/// fields.
///
/// # Examples
///
/// ```
/// use std::io;
/// use touchfile_core::Error;
///
/// fn give_up(error: Error) -> io::Error {
///     match &error {
///         Error::Transient { .. } => eprintln!("worth another try: {error}"),
///         Error::Unsupported { .. } => eprintln!("choose another backend: {error}"),
///         _ => eprintln!("{error}"),
///     }
///     error.into() // a timeout becomes `io::ErrorKind::TimedOut`, and so on
/// }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The task or thread that asks for the lock has taken it itself, and would wait for itself. Only
    /// a [`TouchFile`](crate::TouchFile) whose builder was told to
    /// [`deny_recursion`](crate::TouchFileBuilder::deny_recursion) returns it.
    #[error(
        "the {mode} lock on {} would be waited for by the task or thread that has taken it",
        path.display()
    )]
    #[non_exhaustive]
    Deadlock {
        /// The lock file.
        path: PathBuf,
        /// The mode asked for.
        mode: LockMode,
    },

    /// The path cannot name a lock file: empty, missing parent, a FIFO, a loop of links, …
    #[error("cannot use {} as a lock file: {reason}", visible(path))]
    #[non_exhaustive]
    InvalidPath {
        /// The path as it was resolved.
        path: PathBuf,
        /// What is wrong with it and, where known, what to do.
        reason: Cow<'static, str>,
        /// What the operating system said, if it was asked.
        source: Option<io::Error>,
    },

    /// The operating system failed in a way that trying again is not likely to mend.
    #[error("cannot {operation} {}", path.display())]
    #[non_exhaustive]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What was being done.
        operation: Operation,
        /// What the operating system said.
        source: io::Error,
    },

    /// The lock was held and is no longer, or no longer on the file that the path names. Whatever
    /// it protects may be somebody else's by now.
    #[error("the {mode} lock on {} is lost: {loss}", path.display())]
    #[non_exhaustive]
    Lost {
        /// The lock file.
        path: PathBuf,
        /// The mode that was held.
        mode: LockMode,
        /// How it was lost.
        loss: Loss,
    },

    /// The permissions of the file, its directory or its file system do not allow it.
    #[error("no permission to {operation} {}", path.display())]
    #[non_exhaustive]
    Permission {
        /// The lock file.
        path: PathBuf,
        /// What was being done.
        operation: Operation,
        /// What the operating system said.
        source: io::Error,
    },

    /// The lock may not have been released as asked. Its handle has been closed, which releases
    /// it unless the file system failed at that too.
    #[error("releasing the {mode} lock on {} failed", path.display())]
    #[non_exhaustive]
    Release {
        /// The lock file.
        path: PathBuf,
        /// The mode that was held.
        mode: LockMode,
        /// What the operating system said.
        source: io::Error,
    },

    /// The path named another file each time that the lock had been taken.
    #[error(
        "{} was replaced {times} times while its lock was being taken; something else keeps \
         removing or renaming it",
        path.display()
    )]
    #[non_exhaustive]
    Replaced {
        /// The lock file.
        path: PathBuf,
        /// How often it was found replaced.
        times: u32,
    },

    /// The lock was not free within the time given, the queue inside this process included.
    ///
    /// The message ends with the holder, if it is known: `held by pid 4242 (cargo build) for 12.0s`.
    /// That is the time between two samples, early in the wait and at its end, both of which found
    /// this holder.
    #[error(
        "gave up after {waited:.1?} waiting for {} {}{}",
        what(*mode, *permits),
        path.display(),
        in_the_way(holders, *queued, *recursive)
    )]
    #[non_exhaustive]
    Timeout {
        /// The lock file.
        path: PathBuf,
        /// The mode asked for.
        mode: LockMode,
        /// How many permits there are, if this is about one of a [`Semaphore`](crate::Semaphore).
        permits: Option<usize>,
        /// How long it was waited for.
        waited: Duration,
        /// Who was in the way shortly before the deadline, as far as that could be found out by
        /// then. A sample is begun when a quarter of the timeout is left, or 250 ms if that is less.
        /// None is taken in a wait of less than 50 ms, but after a timeout of zero. After them come
        /// those who [waited](Holder::waiting) before this wait, in the order in which they began.
        holders: Vec<Holder>,
        /// Whether the wait was still in the queue inside this process. Then a guard of this
        /// [`TouchFile`](crate::TouchFile) has the turn, or a future that waits for its lock: if that
        /// future was forgotten and is not polled, the turn does not end.
        queued: bool,
        /// Whether the task or thread that waited had taken the lock itself on this
        /// [`TouchFile`](crate::TouchFile), and had not released it when the wait began. A guard that
        /// was sent elsewhere is mistaken for it.
        recursive: bool,
    },

    /// A shortage or an outage that may pass: no free descriptors, no lock resources, a stale
    /// NFS handle, a server that cannot be reached.
    #[error("cannot {operation} {} at the moment", path.display())]
    #[non_exhaustive]
    Transient {
        /// The lock file.
        path: PathBuf,
        /// What was being done.
        operation: Operation,
        /// What the operating system said.
        source: io::Error,
    },

    /// The backend, or the file system the file is on, cannot do this at all.
    #[error("the {backend} backend cannot {operation} {}", path.display())]
    #[non_exhaustive]
    Unsupported {
        /// The lock file.
        path: PathBuf,
        /// The backend's name.
        backend: &'static str,
        /// What was asked for.
        operation: Operation,
        /// Why it cannot.
        source: io::Error,
    },
}

impl Error {
    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Deadlock { path, .. }
            | Self::InvalidPath { path, .. }
            | Self::Io { path, .. }
            | Self::Lost { path, .. }
            | Self::Permission { path, .. }
            | Self::Release { path, .. }
            | Self::Replaced { path, .. }
            | Self::Timeout { path, .. }
            | Self::Transient { path, .. }
            | Self::Unsupported { path, .. } => path,
        }
    }

    /// Whether the deadline passed before the lock was free.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let _held = touch.blocking().lock_exclusive()?;
    /// let error = touch.blocking().lock_timeout(LockMode::Shared, Duration::ZERO).unwrap_err();
    /// assert!(error.is_timeout());
    /// assert_eq!(error.path(), touch.path());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether it is a shortage or an outage that may pass, so that another try is worth it:
    /// [`TouchFileBuilder::retry`](crate::TouchFileBuilder::retry) makes it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    /// An [`InvalidPath`](Self::InvalidPath), for a [`Platform`](crate::Platform) that refuses a name.
    ///
    /// `reason` completes the sentence "cannot use `path` as a lock file: …"; `source` is what the
    /// system said, if it was asked.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::Error;
    ///
    /// let error = Error::invalid_path("jobs/", "a name must not end with a slash", None);
    /// let message = "cannot use jobs/ as a lock file: a name must not end with a slash";
    /// assert_eq!(error.to_string(), message);
    /// ```
    pub fn invalid_path(
        path: impl Into<PathBuf>,
        reason: impl Into<Cow<'static, str>>,
        source: Option<io::Error>,
    ) -> Self {
        Self::InvalidPath {
            path: path.into(),
            reason: reason.into(),
            source,
        }
    }

    /// A [`Permission`](Self::Permission) for opening `path`, for a [`Platform`](crate::Platform) that
    /// may not look at it.
    pub fn permission_to_open(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Permission {
            path: path.into(),
            operation: Operation::Open,
            source,
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
    if recursive {
        // That others wait as well is not what is wrong.
        let holders: Vec<Holder> = holders
            .iter()
            .filter(|holder| !holder.waiting)
            .cloned()
            .collect();
        return match Holder::in_words(&holders) {
            Some(words) => format!(", {words}, {ITSELF}"),
            None => format!(", held {ITSELF}"),
        };
    }
    match Holder::in_words(holders) {
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
