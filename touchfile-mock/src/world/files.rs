//! Changes of the files of a world.

use std::io;
use std::path::Path;

use super::World;
use crate::paths::absolute;

impl World {
    /// Whether `path` names a file.
    #[must_use]
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.0.with(|state| state.exists(&absolute(path.as_ref())))
    }

    /// Creates a file, unless `path` names one already.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.create("/a.lock");
    /// assert!(world.exists("/a.lock"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(&self, path: impl AsRef<Path>) {
        self.0.with(|state| state.create(&absolute(path.as_ref())));
    }

    /// Removes the name of a file. Its open handles still lock the file without a name.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `path` names nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let _guard = touch.blocking().lock_exclusive()?;
    /// world.unlink("/a.lock")?;
    /// // The lock is on a file without a name now, and does not exclude a lock on the new file.
    /// let other = TouchFile::new(world.process("b"), "/a.lock")?;
    /// assert!(other.blocking().try_lock(Exclusive)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlink(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.0.with(|state| state.unlink(&absolute(path.as_ref())))
    }

    /// Renames a new file, which is not locked, over `path`. The path may name nothing before.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// drop(touch.blocking().lock_exclusive()?);
    /// world.replace("/a.lock");
    /// let _guard = touch.blocking().lock_exclusive()?; // it opens the new file
    /// assert_eq!(world.holders("/a.lock"), [("a", Exclusive)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace(&self, path: impl AsRef<Path>) {
        self.0.with(|state| state.replace(&absolute(path.as_ref())));
    }

    /// Renames a file, as rename(2) does. A file at the new path is replaced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `from` names nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let _guard = touch.blocking().lock_exclusive()?;
    /// world.rename("/a.lock", "/b.lock")?;
    /// assert!(!world.exists("/a.lock"));
    /// assert_eq!(world.holders("/b.lock"), [("a", Exclusive)]); // the lock goes with the file
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.0
            .with(|state| state.rename(&absolute(from.as_ref()), &absolute(to.as_ref())))
    }

    /// Gives a file a second name, as link(2) does. Both names have one lock.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::NotFound`]: `original` names nothing.
    /// - [`io::ErrorKind::AlreadyExists`]: `link` names a file.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Shared;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.create("/a.lock");
    /// world.hard_link("/a.lock", "/b.lock")?;
    /// let one = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let other = TouchFile::new(world.process("b"), "/b.lock")?;
    /// let _guard = one.blocking().lock_exclusive()?;
    /// assert!(other.blocking().try_lock(Shared)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hard_link(&self, original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
        self.0
            .with(|state| state.hard_link(&absolute(original.as_ref()), &absolute(link.as_ref())))
    }

    /// Sets whether a file can be opened for writing. Backends that
    /// [do not claim](crate::MockBackend::with_capabilities) `exclusive_read_only` refuse an exclusive
    /// lock on a read-only file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `path` names nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::{Exclusive, Shared};
    /// use touchfile_core::{LockBackend, TouchFile};
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.create("/a.lock");
    /// world.set_read_only("/a.lock", true)?;
    /// let mut claims = world.process("a").capabilities();
    /// claims.exclusive_read_only = false; // as for fcntl(2)
    /// let touch = TouchFile::new(world.process("a").with_capabilities(claims), "/a.lock")?;
    /// assert!(touch.blocking().try_lock(Shared)?.is_some());
    /// assert!(touch.blocking().try_lock(Exclusive).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_read_only(&self, path: impl AsRef<Path>, read_only: bool) -> io::Result<()> {
        self.0
            .with(|state| state.set_read_only(&absolute(path.as_ref()), read_only))
    }
}
