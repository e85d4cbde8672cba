//! Making a `TouchFile` without naming a backend.

use std::path::Path;

use super::{TouchFile, TouchFileBuilder};
use crate::{LockBackend, OpenFile, Result};

/// Says which backend [`TouchFile::open`] has: the crate `touchfile` implements it, once, for `()`.
///
/// A type alias with a default for its parameter does not do: the default does not count in an
/// expression such as `TouchFile::open(path)`, whose backend the compiler infers. It can infer it from
/// here, because there is one implementation. A second one anywhere in a program would make each
/// `TouchFile::open` ambiguous.
#[diagnostic::on_unimplemented(
    message = "no default backend is known here",
    note = "the crate `touchfile` has one; with `touchfile_core` alone, use `TouchFile::new(backend, path)`"
)]
pub trait ProvidesDefault<B> {
    /// The backend.
    fn default_backend() -> B;
}

/// With the default backend, which the crate `touchfile` provides.
impl<B: LockBackend> TouchFile<B>
where
    (): ProvidesDefault<B>,
{
    /// A touch file at `path` with the default backend: [`new`](Self::new) in short.
    ///
    /// The file is created, if it is missing, when a lock is first asked for.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile::TouchFile;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # std::env::set_current_dir(&dir).unwrap();
    /// let touch = TouchFile::open("app.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// # drop(guard);
    /// # Ok::<(), touchfile::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(<() as ProvidesDefault<B>>::default_backend(), path)
    }

    /// A touch file over a file that is open already, with the default backend:
    /// [`from_file`](Self::from_file) in short.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile::{LockMode, TouchFile};
    ///
    /// let touch = TouchFile::open_file(tempfile::tempfile()?)?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// assert!(touch.blocking().try_lock(LockMode::Shared)?.is_none());
    /// # drop(guard);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open_file(file: impl Into<OpenFile>) -> Result<Self> {
        Self::from_file(<() as ProvidesDefault<B>>::default_backend(), file)
    }

    /// A touch file with a new name and the default backend: [`temporary`](Self::temporary) in short.
    ///
    /// # Errors
    ///
    /// As [`temporary`](Self::temporary).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile::TouchFile;
    ///
    /// let touch = TouchFile::open_temporary()?;
    /// assert!(touch.path().exists());
    /// # Ok::<(), touchfile::Error>(())
    /// ```
    pub fn open_temporary() -> Result<Self> {
        Self::temporary(<() as ProvidesDefault<B>>::default_backend())
    }

    /// Settings, with the default backend: [`builder`](Self::builder) in short.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile::TouchFile;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("app.lock");
    /// let touch = TouchFile::options().path(&path).remove_on_release(true).build()?;
    /// touch.blocking().lock_exclusive()?.unlock()?;
    /// assert!(!path.exists());
    /// # Ok::<(), touchfile::Error>(())
    /// ```
    pub fn options() -> TouchFileBuilder<B> {
        Self::builder(<() as ProvidesDefault<B>>::default_backend())
    }
}
