//! Opens files and takes locks like flock(1).
//!
//! This does not use `TouchFile`: flock(1) follows links, opens files of every type, locks inherited
//! descriptors, does not check the identity of the path, and its lock may be held after its end. It waits
//! in the queue of the kernel, in turn with other waiters.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::libc::{self, off_t};
use rustix::fs::{Access, FlockOperation, Mode as Permissions, OFlags};
use rustix::io::Errno;

/// The kind of a lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// flock(2).
    Flock,
    /// An open file description lock of fcntl(2). With length 0 it reaches to the end of the file.
    Ofd { start: off_t, length: off_t },
}

/// The operation on the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Exclusive,
    Shared,
    Unlock,
}

/// How a lock file is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opening {
    ReadOnly,
    ReadWrite,
    WriteOnly,
}

impl Kind {
    /// How to open a file for this operation.
    pub(super) fn opening(self, mode: Mode) -> Opening {
        match (self, mode) {
            // An exclusive lock of fcntl(2) needs a descriptor that is open for writing (EBADF).
            (Self::Ofd { .. }, Mode::Exclusive) => Opening::WriteOnly,
            _ => Opening::ReadOnly,
        }
    }

    /// Waits until the operation is done.
    pub(super) fn wait(self, file: impl AsFd, mode: Mode) -> io::Result<()> {
        match self {
            Self::Flock => retry(|| Ok(rustix::fs::flock(&file, mode.waiting())?)),
            Self::Ofd { start, length } => retry(|| ofd::wait(&file, mode, start, length)),
        }
    }

    /// Whether the operation could be done at once.
    pub(super) fn attempt(self, file: impl AsFd, mode: Mode) -> io::Result<bool> {
        let done = match self {
            Self::Flock => retry(|| Ok(rustix::fs::flock(&file, mode.trying())?)),
            Self::Ofd { start, length } => retry(|| ofd::attempt(&file, mode, start, length)),
        };
        match done {
            Ok(()) => Ok(true),
            // fcntl(2) allows both codes.
            Err(error)
                if [Some(libc::EAGAIN), Some(libc::EACCES)].contains(&error.raw_os_error()) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Mode {
    fn waiting(self) -> FlockOperation {
        match self {
            Self::Exclusive => FlockOperation::LockExclusive,
            Self::Shared => FlockOperation::LockShared,
            Self::Unlock => FlockOperation::Unlock,
        }
    }

    fn trying(self) -> FlockOperation {
        match self {
            Self::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Self::Shared => FlockOperation::NonBlockingLockShared,
            Self::Unlock => FlockOperation::NonBlockingUnlock,
        }
    }
}

fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// The calls of fcntl(2) for locks of an open file description.
#[cfg(any(target_os = "android", target_os = "linux"))]
mod ofd {
    use std::io;
    use std::os::fd::AsFd;

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc::{self, off_t};

    use super::Mode;

    pub(super) fn attempt(f: impl AsFd, mode: Mode, start: off_t, length: off_t) -> io::Result<()> {
        fcntl(f, FcntlArg::F_OFD_SETLK(&range(mode, start, length)))?;
        Ok(())
    }

    pub(super) fn wait(f: impl AsFd, mode: Mode, start: off_t, length: off_t) -> io::Result<()> {
        fcntl(f, FcntlArg::F_OFD_SETLKW(&range(mode, start, length)))?;
        Ok(())
    }

    fn range(mode: Mode, start: off_t, length: off_t) -> libc::flock {
        let kind = match mode {
            Mode::Exclusive => libc::F_WRLCK,
            Mode::Shared => libc::F_RDLCK,
            Mode::Unlock => libc::F_UNLCK,
        };
        libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start,
            l_len: length,
            l_pid: 0,
        }
    }
}

/// Refuses, because this system has no locks of an open file description. A lock of a process would be
/// released when flock(1) ends.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
mod ofd {
    use std::io;
    use std::os::fd::AsFd;

    use nix::libc::off_t;

    use super::Mode;

    pub(super) fn attempt(_: impl AsFd, _: Mode, _: off_t, _: off_t) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn wait(_: impl AsFd, _: Mode, _: off_t, _: off_t) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens `path` as flock(1) does: it follows links, creates a missing file, and lets the command inherit
/// the descriptor. Returns how the file was opened.
pub(super) fn open(path: &OsStr, opening: Opening) -> io::Result<(OwnedFd, Opening)> {
    let flags = OFlags::NOCTTY
        | match opening {
            Opening::ReadOnly => OFlags::RDONLY,
            Opening::ReadWrite => OFlags::RDWR,
            Opening::WriteOnly => OFlags::WRONLY,
        };
    match rustix::fs::open(
        path,
        flags | OFlags::CREATE,
        Permissions::from_raw_mode(0o666),
    ) {
        Ok(file) => Ok((file, opening)),
        // A directory can neither be created nor opened for writing.
        Err(Errno::ISDIR) => {
            let flags = OFlags::NOCTTY | OFlags::RDONLY;
            let file = rustix::fs::open(path, flags, Permissions::empty())?;
            Ok((file, Opening::ReadOnly))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether this user may read and write `path`.
pub(super) fn may_write(path: &OsStr) -> bool {
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}
