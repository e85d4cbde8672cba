//! What can go wrong, told apart by what a caller can do about it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Holder, LockBackend, LockMode};

/// The result of an operation on a touch file.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a lock was not taken, or not released as it should have been.
///
/// Every variant names the path. The message never repeats its
/// [`source`](std::error::Error::source): print the chain to see the cause.
///
/// ```
/// use std::io;
/// use touchfile_core::{Error, ErrorKind};
///
/// fn give_up(error: Error) -> io::Error {
///     match error.kind() {
///         ErrorKind::Transient => eprintln!("worth another try: {error}"),
///         ErrorKind::Unsupported => eprintln!("choose another backend: {error}"),
///         _ => eprintln!("{error}"),
///     }
///     error.into() // a timeout becomes `io::ErrorKind::TimedOut`, and so on
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A conflicting holder has the lock, or others of this process are queued for it, and the
    /// caller did not want to wait. `try_lock` answers `Ok(None)` instead.
    #[error("{} is locked by somebody else, so the {mode} lock was not taken", path.display())]
    #[non_exhaustive]
    Contended {
        /// The lock file.
        path: PathBuf,
        /// The mode asked for.
        mode: LockMode,
    },

    /// The path cannot name a lock file: empty, missing parent, a FIFO, a loop of links, …
    #[error("cannot use {} as a lock file: {reason}", path.display())]
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

    /// Each time the lock was taken, the path had come to name another file.
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
    /// The message ends with who held it, where that is known: `held by pid 4242 (cargo build) for
    /// 12.0s`. The time is that between two looks, early in the wait and at its end, which both
    /// found it so.
    #[error(
        "gave up after {waited:.1?} waiting for the {mode} lock on {}{}",
        path.display(),
        held_by(holders)
    )]
    #[non_exhaustive]
    Timeout {
        /// The lock file.
        path: PathBuf,
        /// The mode asked for.
        mode: LockMode,
        /// How long it was waited for.
        waited: Duration,
        /// Who was in the way shortly before the deadline, as far as that could be found out by
        /// then: a look begins when a quarter of the timeout is left, or 250 ms if that is less.
        /// Nobody looks in a wait of less than 50 ms.
        holders: Vec<Holder>,
    },

    /// A shortage or an outage that may pass: no free descriptors, no lock resources, a stale
    /// NFS handle.
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
    /// What sort of failure this is: what to match on.
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// # use touchfile_core::ErrorKind;
    /// # use std::time::Duration;
    /// let _held = touch.blocking().lock_exclusive()?;
    /// let error = touch.blocking().lock_timeout(Shared, Duration::ZERO).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Timeout);
    /// assert!(error.is_timeout());
    /// assert_eq!(error.path(), touch.path());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Contended { .. } => ErrorKind::Contended,
            Self::InvalidPath { .. } => ErrorKind::InvalidPath,
            Self::Io { .. } => ErrorKind::Io,
            Self::Lost { .. } => ErrorKind::Lost,
            Self::Permission { .. } => ErrorKind::Permission,
            Self::Release { .. } => ErrorKind::Release,
            Self::Replaced { .. } => ErrorKind::Replaced,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Transient { .. } => ErrorKind::Transient,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Contended { path, .. }
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
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// An [`InvalidPath`](Self::InvalidPath), for a [`Platform`](crate::Platform) that refuses a name.
    ///
    /// `reason` completes the sentence "cannot use `path` as a lock file: …"; `source` is what the
    /// system said, if it was asked.
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

    /// The error of a call of `backend` that failed with `source` during `operation`, as
    /// [`TouchFile`](crate::TouchFile) makes it: the variant follows from what
    /// [`Platform::error_kind`](crate::Platform::error_kind) says of `source`.
    pub fn from_io<B: LockBackend + ?Sized>(
        backend: &B,
        path: &Path,
        operation: Operation,
        source: io::Error,
    ) -> Self {
        let kind = backend.platform().error_kind(&source);
        Self::sort(backend.name(), path, operation, kind, source)
    }

    fn sort(
        backend: &'static str,
        path: &Path,
        operation: Operation,
        kind: io::ErrorKind,
        source: io::Error,
    ) -> Self {
        let path = path.to_owned();
        match classify(operation, kind) {
            // A backend's own words need no cause behind them.
            ErrorKind::InvalidPath if source.get_ref().is_some() => Self::InvalidPath {
                path,
                reason: source.to_string().into(),
                source: None,
            },
            ErrorKind::InvalidPath => {
                let reason = match kind {
                    io::ErrorKind::NotFound => {
                        "it does not exist, or a directory above it does not"
                    }
                    io::ErrorKind::NotADirectory => "something above it is not a directory",
                    io::ErrorKind::IsADirectory => "it names a directory",
                    _ => "the operating system refuses it",
                };
                Self::InvalidPath {
                    path,
                    reason: reason.into(),
                    source: Some(source),
                }
            }
            ErrorKind::Permission => Self::Permission {
                path,
                operation,
                source,
            },
            ErrorKind::Transient => Self::Transient {
                path,
                operation,
                source,
            },
            ErrorKind::Unsupported => Self::Unsupported {
                path,
                backend,
                operation,
                source,
            },
            _ => Self::Io {
                path,
                operation,
                source,
            },
        }
    }
}

impl From<Error> for io::Error {
    /// Keeps the whole error inside, under the nearest [`io::ErrorKind`].
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Contended { .. } => io::ErrorKind::WouldBlock,
            Error::InvalidPath { source, .. } => source
                .as_ref()
                .map_or(io::ErrorKind::InvalidInput, io::Error::kind),
            Error::Io { source, .. }
            | Error::Permission { source, .. }
            | Error::Release { source, .. }
            | Error::Transient { source, .. } => source.kind(),
            Error::Lost { .. } => io::ErrorKind::StaleNetworkFileHandle,
            Error::Replaced { .. } => io::ErrorKind::ResourceBusy,
            Error::Timeout { .. } => io::ErrorKind::TimedOut,
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}

/// The sorts of [`Error`], without their details.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else holds the lock and waiting was not wanted.
    Contended,
    /// The path cannot name a lock file.
    InvalidPath,
    /// The operating system failed.
    Io,
    /// The lock was held and is no longer.
    Lost,
    /// Not permitted.
    Permission,
    /// The release failed.
    Release,
    /// The file kept being replaced.
    Replaced,
    /// The deadline passed.
    Timeout,
    /// May pass: trying again later makes sense.
    Transient,
    /// Cannot be done here.
    Unsupported,
}

/// How a held lock was lost; displays as a clause.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The path names another file by now, or none, and that other file is what others lock.
    Replaced,
    /// Whoever keeps the lock, such as the server of a network file system, has given it up.
    Revoked,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replaced => "the path names another file by now, or none",
            Self::Revoked => "the file system has given it up, and somebody else may have taken it",
        })
    }
}

/// What was being done when an [`Error`] arose; displays as a verb, as in "cannot *open* /a.lock".
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Checking that the path still names the locked file.
    CheckIdentity,
    /// Making a temporary lock file.
    CreateTemporary,
    /// Making an exclusive lock a shared one.
    Downgrade,
    /// Taking the lock.
    Lock(LockMode),
    /// Opening or creating the file.
    Open,
    /// Removing the file when it is released.
    Remove,
    /// Making a shared lock an exclusive one.
    Upgrade,
    /// Checking that the lock is still held.
    Verify,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckIdentity => f.write_str("check the identity of"),
            Self::CreateTemporary => f.write_str("create a temporary file in"),
            Self::Downgrade => f.write_str("downgrade the lock on"),
            Self::Lock(LockMode::Exclusive) => f.write_str("take an exclusive lock on"),
            Self::Lock(LockMode::Shared) => f.write_str("take a shared lock on"),
            Self::Open => f.write_str("open"),
            Self::Remove => f.write_str("remove on release"),
            Self::Upgrade => f.write_str("upgrade the lock on"),
            Self::Verify => f.write_str("verify the lock on"),
        }
    }
}

/// How a message ends that is about a lock which somebody holds.
fn held_by(holders: &[Holder]) -> String {
    Holder::in_words(holders).map_or_else(String::new, |words| format!(", {words}"))
}

/// Sorts what a backend's call failed with. What is said of a path counts only while opening.
fn classify(operation: Operation, kind: io::ErrorKind) -> ErrorKind {
    use io::ErrorKind as Io;
    match kind {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Permission,
        Io::Unsupported => ErrorKind::Unsupported,
        Io::Interrupted
        | Io::OutOfMemory
        | Io::ResourceBusy
        | Io::StaleNetworkFileHandle
        | Io::TimedOut
        | Io::WouldBlock => ErrorKind::Transient,
        Io::InvalidFilename
        | Io::InvalidInput
        | Io::IsADirectory
        | Io::NotADirectory
        | Io::NotFound
            if matches!(operation, Operation::CreateTemporary | Operation::Open) =>
        {
            ErrorKind::InvalidPath
        }
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn error(operation: Operation, source: io::Error) -> Error {
        let kind = source.kind();
        Error::sort("flock", Path::new("/a.lock"), operation, kind, source)
    }

    #[test]
    fn a_message_names_path_and_mode_and_never_repeats_its_source() {
        let failed = error(
            Operation::Lock(LockMode::Shared),
            io::Error::other("the cause"),
        );
        assert_eq!(failed.to_string(), "cannot take a shared lock on /a.lock");
        assert_eq!(failed.source().unwrap().to_string(), "the cause");
        assert_eq!(failed.path(), Path::new("/a.lock"));
    }

    #[test]
    fn an_io_error_keeps_the_kind_and_the_error() {
        let timeout = Error::Timeout {
            path: "/a.lock".into(),
            mode: LockMode::Exclusive,
            waited: Duration::from_secs(5),
            holders: Vec::new(),
        };
        assert!(timeout.is_timeout());
        let io: io::Error = timeout.into();
        assert_eq!(io.kind(), io::ErrorKind::TimedOut);
        let inner = io.get_ref().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(inner.kind(), ErrorKind::Timeout);
        let missing: io::Error = error(Operation::Open, io::ErrorKind::NotFound.into()).into();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
