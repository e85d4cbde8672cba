//! What one way of locking files has of its own.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use touchfile_core::{Attempt, ConvertLock, Guarantee, LockKind, LockMode, OpenOptions};

use super::FileHandle;
use crate::{Access, FileSystem};

/// The two system calls in which one way of locking files differs from another.
///
/// Neither may block. Interrupted calls are repeated by the caller.
pub trait RawFileLock: fmt::Debug + Send + Sync + 'static {
    /// Makes one attempt to lock `file`.
    ///
    /// # Errors
    ///
    /// Whatever the system says but "held by somebody else", which is `Ok(WouldBlock)`.
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt>;

    /// Unlocks `file`.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    fn unlock(&self, file: &File) -> io::Result<()>;

    /// What is locked of a file, in a few letters: locks of one file with the same answer exclude
    /// each other. Those who wait for such a lock stand in one queue; without an answer each waits
    /// by itself.
    fn queue_key(&self) -> Option<Cow<'static, str>> {
        None
    }

    /// How the kernel lists such a lock (/proc/locks in proc(5)): its kind, and its range unless that
    /// is the whole file.
    ///
    /// With this and [`queue_key`](Self::queue_key), a wait finds out whether the holder is a
    /// [`FileHandle`] too, which wakes it up; without, it may try the lock every few milliseconds for
    /// as long as it lasts.
    fn kernel_listing(&self) -> Option<(LockKind, Option<RangeInclusive<u64>>)> {
        None
    }

    /// The calls that wait in the kernel, for a thread that does nothing else.
    ///
    /// With them, a wait gets a lock that is free for a moment only, as it is beside a program that
    /// unlocks and locks again at once. Without them it tries every few milliseconds.
    fn blocking(&self) -> Option<Arc<dyn BlockingLock>> {
        None
    }

    /// For what a file on `file_system` must be open so that all that this locks can be locked.
    ///
    /// The provided method asks for [`ReadWrite`](Access::ReadWrite), with which every kind of lock
    /// can be had. Where [`Read`](Access::Read) is enough, say so: it does nothing to the file.
    fn access(&self, file_system: FileSystem) -> Access {
        let _ = file_system;
        Access::ReadWrite
    }

    /// Whom such a lock on `file` can be expected to exclude, without asking a server.
    ///
    /// # Errors
    ///
    /// Whatever keeps the question from being answered.
    fn guarantee(&self, file: &File) -> io::Result<Guarantee> {
        let _ = file;
        Ok(Guarantee::Unknown)
    }

    /// Called once `file` is open, before anything else is asked: for what depends on the file.
    ///
    /// It is called again in a forked child that opens the file anew to lock it, and when a wait has
    /// opened it once more.
    ///
    /// # Errors
    ///
    /// Whatever keeps `file` from being a lock file; opening fails with it.
    fn on_open(&mut self, file: &File, options: &OpenOptions) -> io::Result<()> {
        let _ = (file, options);
        Ok(())
    }

    /// `handle` as one that can convert: `Some(handle)` where this has [`RawFileConvert`], which
    /// the provided method cannot know.
    fn convertible(handle: &mut FileHandle<Self>) -> Option<&mut dyn ConvertLock>
    where
        Self: Sized,
    {
        let _ = handle;
        None
    }
}

/// The calls of a [`RawFileLock`] for a thread that waits in the kernel.
pub trait BlockingLock: fmt::Debug + Send + Sync + 'static {
    /// Waits until `file` is locked.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Interrupted`] if a signal interrupts it, and what the system says.
    fn lock(&self, file: &File, mode: LockMode) -> io::Result<()>;

    /// Unlocks `file`.
    ///
    /// # Errors
    ///
    /// Whatever the operating system fails with.
    fn release(&self, file: &File) -> io::Result<()>;
}

/// A [`RawFileLock`] that can change the mode of a lock without letting go of it; it gives its
/// [`FileHandle`] the trait [`ConvertLock`].
pub trait RawFileConvert: RawFileLock {
    /// Makes one attempt to change the mode of the lock held on `file` to `mode`.
    ///
    /// The lock is held in the other mode until it is held in `mode`: always, if this is not
    /// `Ok(Acquired)`. Making it shared is not refused because of others.
    ///
    /// # Errors
    ///
    /// Whatever the system says but "held by somebody else", which is `Ok(WouldBlock)`.
    fn try_convert(&self, file: &File, mode: LockMode) -> io::Result<Attempt>;
}
