//! The backend of those who do not name one.

use std::path::Path;

use touchfile_core::{Builder, Result};

use crate::AutoBackend;

/// The backend of those who do not name one: the right one for each file's file system.
pub type DefaultBackend = AutoBackend;

/// [`touchfile_core::TouchFile`], with a default for its backend: the type `TouchFile` locks with
/// the [`DefaultBackend`], `TouchFile<B>` with any other.
pub type TouchFile<B = DefaultBackend> = touchfile_core::TouchFile<B>;

/// [`touchfile_core::LockGuard`], with a default for its backend.
pub type LockGuard<'a, B = DefaultBackend> = touchfile_core::LockGuard<'a, B>;

/// [`touchfile_core::OwnedLockGuard`], with a default for its backend.
pub type OwnedLockGuard<B = DefaultBackend> = touchfile_core::OwnedLockGuard<B>;

/// Making a [`TouchFile`] with the [`DefaultBackend`].
///
/// ```
/// use touchfile::{Open, TouchFile};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let touch = TouchFile::open(dir.path().join("app.lock"))?;
/// let guard = touch.blocking().lock_exclusive()?;
/// # drop(guard);
/// # Ok::<(), touchfile::Error>(())
/// ```
pub trait Open: private::Sealed + Sized {
    /// A touch file at `path`: [`TouchFile::new`] with the default backend.
    ///
    /// The file is created, if it is missing, when a lock is first asked for.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::new`].
    fn open(path: impl AsRef<Path>) -> Result<Self>;

    /// A touch file with a new name: [`TouchFile::temporary`] with the default backend.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::temporary`].
    fn open_temporary() -> Result<Self>;

    /// Settings: [`TouchFile::builder`] with the default backend.
    ///
    /// ```
    /// use touchfile::{Open, TouchFile};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("app.lock");
    /// let touch = TouchFile::options().path(&path).remove_on_release(true).build()?;
    /// drop(touch.blocking().lock_exclusive()?);
    /// assert!(!path.exists());
    /// # Ok::<(), touchfile::Error>(())
    /// ```
    fn options() -> Builder<DefaultBackend>;
}

impl Open for TouchFile {
    fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(DefaultBackend::default(), path)
    }

    fn open_temporary() -> Result<Self> {
        Self::temporary(DefaultBackend::default())
    }

    fn options() -> Builder<DefaultBackend> {
        Self::builder(DefaultBackend::default())
    }
}

/// There is one default: a second implementation would make `TouchFile::open` ambiguous.
mod private {
    pub trait Sealed {}

    impl Sealed for super::TouchFile {}
}
