//! Which error the number of the system becomes.
#![cfg(unix)]

use std::path::Path;

use rustix::io::Errno;
use touchfile_core::{Error, LockMode, Operation};
use touchfile_flock::FlockBackend;

#[test]
fn os_errors_are_told_apart() {
    type Variant = fn(&Error) -> bool;
    const INVALID_PATH: Variant = |error| matches!(error, Error::InvalidPath { .. });
    const IO: Variant = |error| matches!(error, Error::Io { .. });
    const PERMISSION: Variant = |error| matches!(error, Error::Permission { .. });
    const TRANSIENT: Variant = |error| matches!(error, Error::Transient { .. });
    const UNSUPPORTED: Variant = |error| matches!(error, Error::Unsupported { .. });
    let lock = Operation::Lock(LockMode::Shared);
    for (operation, errno, is_sorted) in [
        (Operation::Open, Errno::NOENT, INVALID_PATH),
        (Operation::Open, Errno::NOTDIR, INVALID_PATH),
        (Operation::Open, Errno::ISDIR, INVALID_PATH),
        (Operation::Open, Errno::NAMETOOLONG, INVALID_PATH),
        (Operation::Open, Errno::LOOP, INVALID_PATH),
        (Operation::Open, Errno::ACCESS, PERMISSION),
        (Operation::Open, Errno::PERM, PERMISSION),
        (Operation::Open, Errno::ROFS, PERMISSION),
        (Operation::Open, Errno::MFILE, TRANSIENT),
        (Operation::Open, Errno::NFILE, TRANSIENT),
        (Operation::Open, Errno::NOSPC, IO),
        (lock, Errno::NOLCK, TRANSIENT),
        (lock, Errno::STALE, TRANSIENT),
        (lock, Errno::NOSYS, UNSUPPORTED),
        (lock, Errno::OPNOTSUPP, UNSUPPORTED),
        (lock, Errno::IO, IO),
        (lock, Errno::INVAL, IO),
    ] {
        let backend = FlockBackend::new();
        let error = Error::from_io(&backend, Path::new("/a.lock"), operation, errno.into());
        assert!(is_sorted(&error), "{operation:?} {errno:?}: {error:?}");
    }
}
