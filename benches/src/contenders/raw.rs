//! The system calls of both families, for those who look whether a lock is held.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, flock};

use super::Family;

/// Takes the exclusive lock if nobody has it.
pub(crate) fn try_lock(family: Family, file: &File) -> io::Result<bool> {
    match family {
        Family::Fcntl => match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        },
        Family::Flock => match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        },
    }
}

/// Releases it.
pub(crate) fn unlock(family: Family, file: &File) -> io::Result<()> {
    match family {
        Family::Fcntl => {
            fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK)))?;
        }
        Family::Flock => flock(file, FlockOperation::Unlock)?,
    }
    Ok(())
}

/// What fcntl(2) takes for a lock on all bytes.
pub(super) fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).expect("the three kinds are small numbers"),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).expect("it is 0"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
