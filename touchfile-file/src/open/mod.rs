//! Opening a lock file without being led astray.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::File;
use std::io;
use std::path::Path;

use touchfile_core::OpenOptions;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::{OpenFlags, open_with};
#[cfg(windows)]
pub(crate) use windows::{no_file, open_to_identify};

/// How often a file may vanish and come back while it is being opened. Each round is one other
/// process removing or creating it, so this many in a row is not ordinary use.
const MAX_ROUNDS: u32 = 1_000;

/// For what a lock file is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Access {
    /// For reading. Such a descriptor keeps nobody from executing the file (`ETXTBSY` in execve(2)),
    /// makes no file system copy it (overlayfs, on opening for writing), and its close is no
    /// `IN_CLOSE_WRITE` to whoever watches the file (inotify(7)).
    Read,
    /// For reading and writing where that is allowed, else for reading.
    ReadWrite,
}

/// Opens the lock file at `path`, creating it if `options` say so.
///
/// The file is opened for reading; with [`OpenOptions::write`] for reading and writing where that
/// is allowed. It is a regular file, or on Unix a directory; it is never truncated or written to.
///
/// # Errors
///
/// - [`io::ErrorKind::InvalidInput`] for a FIFO, a socket, a device, a symbolic link that is not
///   to be followed or leads nowhere; the message says which.
/// - [`io::ErrorKind::NotFound`] if it is missing and not to be created, or its directory is.
/// - What the system says, else. Nothing is created that was not missing.
///
/// # Platform-specific behavior
///
/// Unix: a missing file is created with `O_CREAT | O_EXCL` only after opening without `O_CREAT` found
/// none: Linux refuses `O_CREAT` on another user's file in a sticky directory
/// (`fs.protected_regular` in proc_sys_fs(5)).
///
/// Windows: the file is shared for reading, writing and removal with all others, and children inherit
/// no handle on it. A directory is refused with [`io::ErrorKind::IsADirectory`], since `LockFileEx` does
/// not lock it; [`OpenOptions::create_mode`] with [`io::ErrorKind::Unsupported`], since permissions are no
/// bits there; a file that another program has open and does not share with
/// [`io::ErrorKind::ResourceBusy`], and one that is removed but still open somewhere with
/// [`io::ErrorKind::WouldBlock`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use touchfile_core::OpenOptions;
/// use touchfile_file::open;
///
/// let path = dir.path().join("a.lock");
/// # #[cfg(unix)] {
/// std::os::unix::fs::symlink("/etc/passwd", &path)?; // planted by somebody
/// assert!(open(&path, &OpenOptions::new()).is_err());
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    open_with(path, options, Access::Read, OpenFlags::empty())
}

fn is_symlink(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
