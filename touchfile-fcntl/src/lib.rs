//! The fcntl(2) backend of touchfile: open-file-description locks.
//!
//! [`FcntlBackend`] locks whole files, or [ranges](FcntlBackend::range) of their bytes, with
//! `F_OFD_SETLK` of fcntl(2), through nix. It excludes every program that locks the same bytes with
//! fcntl(2) or lockf(3), of either kind, open file description or classic: Python's `fcntl.lockf`,
//! SQLite, `flock --fcntl`. On NFS it excludes those on other hosts and on the server as well. It
//! does not exclude programs that use flock(2), except on NFS.
//!
//! ```
//! use touchfile_core::{LockMode, TouchFile};
//! use touchfile_fcntl::FcntlBackend;
//!
//! let touch = TouchFile::temporary(FcntlBackend::new())?;
//! let mut guard = touch.blocking().lock(LockMode::Exclusive)?;
//! guard.downgrade()?; // nobody else had it exclusively in between
//! # Ok::<(), touchfile_core::Error>(())
//! ```
//!
//! # Not the classic locks
//!
//! The locks of `F_SETLK` belong to the process and vanish as soon as it closes *any* descriptor of
//! the file, one that some library opened for a moment, say (fcntl(2), "Advisory record locking").
//! Those of `F_OFD_SETLK` belong to the open file description, as those of flock(2) do, and are
//! kept until they are unlocked or the last copy of the descriptor is closed.
//!
//! # Platform-specific behavior
//!
//! Linux has had such locks since 3.15; tested there. An exclusive lock needs a file that can be
//! opened for writing: one without write permission, a directory or the running executable can
//! only be locked shared, and an exclusive lock is refused with
//! [`Unsupported`](std::io::ErrorKind::Unsupported) (EBADF in fcntl(2)). flock(2) can lock them.
//!
//! On other Unixes every attempt to lock is refused with `Unsupported`. The crate is empty on
//! systems that are not Unix.
#![doc(html_root_url = "https://docs.rs/touchfile-fcntl/latest")]
#![cfg(unix)]
#![forbid(unsafe_code)]

mod range;
mod raw;

use std::io;
use std::path::Path;

use async_trait::async_trait;
use touchfile_core::{
    Capabilities, Holder, LockBackend, LockKind, OpenFile, OpenOptions, Platform,
};
use touchfile_file::FileHandle;

use self::range::Range;
pub use self::raw::Fcntl;

/// Locks with open-file-description locks, `F_OFD_SETLK` of fcntl(2).
///
/// # Fairness
///
/// None is promised between processes: a waiter may be overtaken.
///
/// # Errors
///
/// Besides what all backends return, [`io::ErrorKind::Unsupported`] for
///
/// - an exclusive lock on a file that cannot be opened for writing,
/// - removing the file on release, if such a file is given or this is a [range](Self::range),
/// - a system or a file system that has no such locks.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct FcntlBackend {
    range: Range,
}

impl FcntlBackend {
    /// A backend that locks whole files, however long they are and come to be.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            range: Range::WHOLE,
        }
    }

    /// A backend that locks `len` bytes from the byte `start` on, so that many independent locks
    /// live in one file. With a `len` of 0 it is all bytes from `start` on, as in fcntl(2).
    ///
    /// The bytes need not exist, and are neither read nor written. Locks on ranges that have a byte
    /// in common exclude each other; a [whole file](Self::new) has all bytes. Use one `TouchFile`
    /// per range.
    ///
    /// The file is never [removed on release](OpenOptions::remove_on_release), which is refused:
    /// whoever holds one range knows nothing of the holders of the others.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if there is a byte whose number is too large for the system:
    /// the last one that can be locked is 2⁶³ - 1, or 2³¹ - 1 where `off_t` has 32 bits.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("table.lock");
    /// use touchfile_core::TouchFile;
    /// use touchfile_fcntl::FcntlBackend;
    ///
    /// /// The lock of one row.
    /// let row = |number| -> Result<_, Box<dyn std::error::Error>> {
    ///     Ok(TouchFile::new(FcntlBackend::range(number, 1)?, &path)?)
    /// };
    /// let (first, second) = (row(0)?, row(1)?);
    /// let _one = first.blocking().lock_exclusive()?;
    /// let _other = second.blocking().lock_exclusive()?; // does not wait
    ///
    /// let table = TouchFile::new(FcntlBackend::new(), &path)?;
    /// assert!(table.blocking().try_lock(touchfile_core::LockMode::Shared)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range(start: u64, len: u64) -> io::Result<Self> {
        Ok(Self {
            range: Range::new(start, len)?,
        })
    }
}

#[async_trait]
impl LockBackend for FcntlBackend {
    type Handle = FcntlHandle;

    fn name(&self) -> &'static str {
        "fcntl"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FILES;
        capabilities.remove_on_release = self.range == Range::WHOLE;
        capabilities.atomic_conversion = true;
        capabilities.excludes_fcntl = true;
        capabilities
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<FcntlHandle> {
        if options.remove_on_release && self.range != Range::WHOLE {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a lock on some bytes of a file does not keep others from having locks on the rest, \
                 so its holder must not remove the file",
            ));
        }
        FileHandle::open_unleased(Fcntl::on(self.range), path, options).await
    }

    fn adopt(&self, file: &OpenFile) -> io::Result<FcntlHandle> {
        FileHandle::adopt(Fcntl::on(self.range), file)
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        let kinds = |_| &[LockKind::Ofd, LockKind::Posix][..];
        let mut holders = touchfile_file::look_up_holders(path, kinds).await?;
        holders.retain(|holder| {
            let theirs = holder.range.as_ref();
            theirs.is_none_or(|theirs| self.range.overlaps(theirs))
        });
        Ok(holders)
    }

    fn platform(&self) -> &'static dyn Platform {
        touchfile_file::platform()
    }
}

/// A file open for locks of fcntl(2).
pub type FcntlHandle = FileHandle<Fcntl>;
