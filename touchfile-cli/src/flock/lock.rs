//! The locks themselves, and opening what they are on.
//!
//! This does not use `TouchFile`, since flock(1) follows links, opens files of every type, locks
//! descriptors that it was given, does not check the identity of the path, and lets its lock
//! outlive it. It waits in the kernel's queue, in its turn among other waiters.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::libc::{self, off_t};
use rustix::fs::{Access, FlockOperation, Mode as Permissions, OFlags};
use rustix::io::Errno;

/// Which kind of lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// flock(2).
    Flock,
    /// fcntl(2), of an open file description; to the end of the file if the length is 0.
    Ofd { start: off_t, length: off_t },
}

/// What to do to the lock.
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
    /// How to open a file for such a lock.
    pub(super) fn opening(self, mode: Mode) -> Opening {
        match (self, mode) {
            // fcntl(2), EBADF: an exclusive one needs a descriptor that is open for writing.
            (Self::Ofd { .. }, Mode::Exclusive) => Opening::WriteOnly,
            _ => Opening::ReadOnly,
        }
    }

    /// Waits until it is done.
    pub(super) fn wait(self, file: impl AsFd, mode: Mode) -> io::Result<()> {
        match self {
            Self::Flock => retry(|| Ok(rustix::fs::flock(&file, mode.waiting())?)),
            Self::Ofd { start, length } => retry(|| ofd::wait(&file, mode, start, length)),
        }
    }

    /// Whether it could be done at once.
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

/// This system has no locks of an open file description. Locks of a process would be released with
/// the process that took them.
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

/// Opens `path` as flock(1) does: links are followed, what is missing is created, and a command
/// that is started has the descriptor, too. Returns how it was opened in the end.
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
        // A directory can neither be created like that nor be written to.
        Err(Errno::ISDIR) => {
            let flags = OFlags::NOCTTY | OFlags::RDONLY;
            let file = rustix::fs::open(path, flags, Permissions::empty())?;
            Ok((file, Opening::ReadOnly))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether `path` may be read and written.
pub(super) fn may_write(path: &OsStr) -> bool {
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}
