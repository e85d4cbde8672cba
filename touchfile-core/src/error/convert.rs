//! From what a backend says to an [`Error`], and from an [`Error`] to an [`io::Error`].

use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Operation};
use crate::LockBackend;

impl Error {
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
        use io::ErrorKind as Io;
        let path = path.to_owned();
        match kind {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::Permission {
                path,
                operation,
                source,
            },
            Io::Unsupported => Self::Unsupported {
                path,
                backend,
                operation,
                source,
            },
            Io::BrokenPipe
            | Io::ConnectionAborted
            | Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::HostUnreachable
            | Io::Interrupted
            | Io::NetworkDown
            | Io::NetworkUnreachable
            | Io::NotConnected
            | Io::OutOfMemory
            | Io::ResourceBusy
            | Io::StaleNetworkFileHandle
            | Io::TimedOut
            | Io::UnexpectedEof
            | Io::WouldBlock => Self::Transient {
                path,
                operation,
                source,
            },
            // These say something of the path only while it is opened.
            Io::InvalidInput | Io::IsADirectory | Io::NotADirectory | Io::NotFound
                if matches!(operation, Operation::CreateTemporary | Operation::Open) =>
            {
                Self::refused_path(path, kind, source)
            }
            _ => Self::Io {
                path,
                operation,
                source,
            },
        }
    }

    fn refused_path(path: PathBuf, kind: io::ErrorKind, source: io::Error) -> Self {
        if source.get_ref().is_some() {
            // A backend's own words need no cause behind them.
            return Self::invalid_path(path, source.to_string(), None);
        }
        let reason = match kind {
            io::ErrorKind::NotFound => "it does not exist, or a directory above it does not",
            io::ErrorKind::NotADirectory => "something above it is not a directory",
            io::ErrorKind::IsADirectory => "it names a directory",
            _ => "the operating system refuses it",
        };
        Self::invalid_path(path, reason, Some(source))
    }
}

impl From<Error> for io::Error {
    /// Keeps the whole error inside, under the nearest [`io::ErrorKind`].
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::InvalidPath { source, .. } => source
                .as_ref()
                .map_or(io::ErrorKind::InvalidInput, io::Error::kind),
            Error::Io { source, .. }
            | Error::Permission { source, .. }
            | Error::Release { source, .. }
            | Error::Transient { source, .. } => source.kind(),
            Error::Lost { .. } => io::ErrorKind::StaleNetworkFileHandle,
            Error::Replaced { .. } => io::ErrorKind::ResourceBusy,
            Error::Deadlock { .. } => io::ErrorKind::Deadlock,
            Error::Timeout { .. } => io::ErrorKind::TimedOut,
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::LockMode;

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
    fn what_a_connection_fails_with_may_pass() {
        for kind in [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::UnexpectedEof,
        ] {
            assert!(error(Operation::Lock(LockMode::Exclusive), kind.into()).is_transient());
        }
    }

    #[test]
    fn an_io_error_keeps_the_kind_and_the_error() {
        let timeout = Error::Timeout {
            path: "/a.lock".into(),
            mode: LockMode::Exclusive,
            permits: None,
            waited: std::time::Duration::from_secs(5),
            holders: Vec::new(),
            queued: false,
            recursive: false,
        };
        assert!(timeout.is_timeout());
        let io: io::Error = timeout.into();
        assert_eq!(io.kind(), io::ErrorKind::TimedOut);
        let inner = io.get_ref().unwrap().downcast_ref::<Error>().unwrap();
        assert!(inner.is_timeout());
        let missing: io::Error = error(Operation::Open, io::ErrorKind::NotFound.into()).into();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
