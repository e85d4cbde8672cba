//! A handle on a lock file: all of a [`LockHandle`] but the system calls in which backends differ.

mod lock_file;
mod raw;

use std::fs::File;
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::path::Path;

use async_trait::async_trait;
use touchfile_core::{
    Attempt, ConvertLock, Guarantee, LockHandle, LockMode, OpenFile, OpenOptions,
};

use self::lock_file::{LockFile, Released};
pub use self::raw::{BlockingLock, RawFileConvert, RawFileLock};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::nfs;
use crate::wait::Waiter;

/// A [`LockHandle`] on a real file, over any [`RawFileLock`].
///
/// It keeps the file open, so that locking again costs no open. Only the process that opened it
/// locks and unlocks with it: in a forked child, dropping or unlocking it leaves the parent's lock
/// alone, and locking opens the file anew.
///
/// # Platform-specific behavior
///
/// A release is always an explicit unlock before any close: closing alone would leave the lock
/// with a child that is between fork and exec and still has a copy of the descriptor (flock(2),
/// fcntl(2): such locks belong to the open file description).
///
/// ```
/// # use touchfile_core::{Attempt, LockHandle, LockMode, OpenOptions};
/// # let dir = tempfile::tempdir()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use std::fs::File;
/// use std::io;
/// use touchfile_file::{FileHandle, RawFileLock};
///
/// /// flock(2), through fs4.
/// #[derive(Debug)]
/// struct Flock;
///
/// impl RawFileLock for Flock {
///     fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
///         let attempt = match mode {
///             LockMode::Exclusive => fs4::FileExt::try_lock(file),
///             LockMode::Shared => fs4::FileExt::try_lock_shared(file),
///         };
///         match attempt {
///             Ok(()) => Ok(Attempt::Acquired),
///             Err(fs4::TryLockError::WouldBlock) => Ok(Attempt::WouldBlock),
///             Err(fs4::TryLockError::Error(error)) => Err(error),
///         }
///     }
///
///     fn unlock(&self, file: &File) -> io::Result<()> {
///         fs4::FileExt::unlock(file)
///     }
/// }
///
/// let path = dir.path().join("a.lock");
/// let mut handle = FileHandle::open(Flock, &path, &OpenOptions::new())?;
/// handle.lock(LockMode::Exclusive).await?;
/// handle.unlock().await?;
/// # Ok::<(), io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FileHandle<R: RawFileLock> {
    lock: LockFile<R>,
    waiter: Waiter,
}

impl<R: RawFileLock> FileHandle<R> {
    /// Opens `path` by the rules of [`open`](crate::open()) and takes no lock.
    ///
    /// # Errors
    ///
    /// The errors of [`open`](crate::open()); with `remove_on_release` also
    /// [`io::ErrorKind::IsADirectory`] for a directory and [`io::ErrorKind::Unsupported`] together
    /// with `follow_symlinks`.
    ///
    /// ```
    /// # use std::{fs::File, io};
    /// # use touchfile_core::{Attempt, LockMode, OpenOptions};
    /// # use touchfile_file::RawFileLock;
    /// # #[derive(Debug)]
    /// # struct Flock; // as that of touchfile-flock
    /// # impl RawFileLock for Flock {
    /// #     fn try_lock(&self, _: &File, _: LockMode) -> io::Result<Attempt> { Ok(Attempt::Acquired) }
    /// #     fn unlock(&self, _: &File) -> io::Result<()> { Ok(()) }
    /// # }
    /// # let dir = tempfile::tempdir()?;
    /// use touchfile_file::FileHandle;
    ///
    /// let missing = dir.path().join("missing").join("a.lock");
    /// let error = FileHandle::open(Flock, &missing, &OpenOptions::new()).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open(raw: R, path: &Path, options: &OpenOptions) -> io::Result<Self> {
        Ok(Self::new(LockFile::open(raw, path, options)?))
    }

    /// [`open`](Self::open), and waits while somebody has a lease on the file.
    ///
    /// A server of NFS 4 or SMB takes one on each file that it lets a client of its cache. To open
    /// the file on the server itself makes the kernel ask for the lease, and fails with
    /// [`io::ErrorKind::WouldBlock`] until it is given back: within moments, or within
    /// /proc/sys/fs/lease-break-time (45 s), when the kernel ends it (fcntl(2), "Leases").
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn open_unleased(raw: R, path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let lock = LockFile::open_unleased(raw, path, options).await?;
        Ok(Self::new(lock))
    }

    /// A handle on a file that is open already, as [`LockBackend::adopt`](touchfile_core::LockBackend::adopt)
    /// makes it: it has a copy of the descriptor and never opens the file again.
    ///
    /// # Errors
    ///
    /// Whatever copying the descriptor and fstat(2) fail with.
    ///
    /// ```
    /// # use std::{fs::File, io};
    /// # use touchfile_file::RawFileLock;
    /// # #[derive(Debug)]
    /// # struct Flock; // as that of touchfile-flock
    /// # impl RawFileLock for Flock {
    /// #     fn try_lock(&self, _: &File, _: LockMode) -> io::Result<Attempt> { Ok(Attempt::Acquired) }
    /// #     fn unlock(&self, _: &File) -> io::Result<()> { Ok(()) }
    /// # }
    /// use touchfile_core::{Attempt, LockHandle, LockMode, OpenFile};
    /// use touchfile_file::FileHandle;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// let file = OpenFile::from(tempfile::tempfile()?);
    /// let mut handle = FileHandle::adopt(Flock, &file)?;
    /// # runtime.block_on(async {
    /// assert_eq!(handle.try_lock(LockMode::Exclusive).await?, Attempt::Acquired);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn adopt(raw: R, file: &OpenFile) -> io::Result<Self> {
        Ok(Self::new(LockFile::adopt(raw, file)?))
    }

    fn new(lock: LockFile<R>) -> Self {
        Self {
            lock,
            waiter: Waiter::default(),
        }
    }

    /// The open file.
    ///
    /// It is to be locked and unlocked through this handle only, which wakes those who wait. A call of
    /// [`lock`](LockHandle::lock) that waits may put another open file description of the same file in
    /// its place.
    pub fn file(&self) -> &File {
        &self.lock.file
    }

    /// The system calls that lock this file.
    pub fn raw(&self) -> &R {
        &self.lock.raw
    }

    /// Refuses a handle that holds a lock, and makes one that was forked with its parent its own.
    #[inline]
    fn prepare(&mut self) -> io::Result<()> {
        if let Some(held) = self.lock.held() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("this handle already holds the {held} lock: unlock it first"),
            ));
        }
        if !self.lock.is_ours() {
            self.lock.reopen()?;
            self.waiter.forget();
        }
        Ok(())
    }

    #[inline]
    fn release(&mut self) -> io::Result<()> {
        match self.lock.release()? {
            Released::Nothing => Ok(()),
            Released::Lock { removed } => {
                self.waiter.released(&self.lock);
                removed
            }
        }
    }
}

#[async_trait]
impl<R: RawFileLock> LockHandle for FileHandle<R> {
    #[inline]
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.prepare()?;
        self.waiter.try_lock(&mut self.lock, mode)
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        self.prepare()?;
        self.waiter.lock(&mut self.lock, mode).await
    }

    #[inline]
    async fn try_lock_fair(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.prepare()?;
        self.waiter.try_lock_fair(&mut self.lock, mode)
    }

    #[inline]
    async fn unlock(&mut self) -> io::Result<()> {
        self.release()
    }

    #[inline]
    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.lock.is_at(path)
    }

    async fn is_lost(&self) -> io::Result<bool> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.lock.held().is_some() && self.lock.is_ours() && nfs::is_nfs(self.lock.file_system())
        {
            return nfs::is_lost(&self.lock.file);
        }
        Ok(false)
    }

    #[inline]
    fn may_block(&self) -> bool {
        self.lock.file_system().may_stall()
    }

    fn file(&self) -> Option<&File> {
        Some(&self.lock.file)
    }

    fn identity(&self) -> Option<Vec<u8>> {
        Some(self.lock.identity())
    }

    fn guarantee(&self) -> io::Result<Guarantee> {
        self.lock.raw.guarantee(&self.lock.file)
    }

    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        R::convertible(self)
    }
}

#[async_trait]
impl<R: RawFileConvert> ConvertLock for FileHandle<R> {
    async fn downgrade(&mut self) -> io::Result<()> {
        match self.convert_now(LockMode::Shared)? {
            Attempt::Acquired => Ok(()),
            Attempt::WouldBlock => Err(io::Error::other(
                "the system says that others are in the way of holding less",
            )),
        }
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        self.convert_now(LockMode::Exclusive)
    }
}

impl<R: RawFileConvert> FileHandle<R> {
    fn convert_now(&mut self, mode: LockMode) -> io::Result<Attempt> {
        let nothing = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let Some(held) = self.lock.held() else {
            return nothing("this handle holds no lock that could change its mode");
        };
        if !self.lock.is_ours() {
            return nothing("the lock of this handle is that of the process that forked this one");
        }
        if held == mode {
            return Ok(Attempt::Acquired);
        }
        let attempt = self.lock.try_convert(mode)?;
        if attempt == Attempt::Acquired && mode == LockMode::Shared {
            // For those who wait for a shared lock it is a release.
            self.waiter.let_others_in(&self.lock);
        }
        Ok(attempt)
    }
}

#[cfg(unix)]
impl<R: RawFileLock> AsFd for FileHandle<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lock.file.as_fd()
    }
}

#[cfg(windows)]
impl<R: RawFileLock> AsHandle for FileHandle<R> {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.lock.file.as_handle()
    }
}

impl<R: RawFileLock> Drop for FileHandle<R> {
    fn drop(&mut self) {
        let released = self.release();
        #[cfg(feature = "tracing")]
        if let Err(error) = released {
            let path = self.lock.path().display();
            tracing::warn!(target: "touchfile", %path, %error, "releasing the lock of a dropped handle failed");
        }
        #[cfg(not(feature = "tracing"))]
        drop(released);
    }
}
