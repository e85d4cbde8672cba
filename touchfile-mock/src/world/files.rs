//! The files of a world, and what is done to them from outside.

use std::io;
use std::path::Path;

use super::World;
use crate::backend::absolute;

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

    /// Removes the name of a file; whoever has it open goes on locking the nameless file.
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
    /// // The lock is on a file without a name now: it keeps nobody out of the next one.
    /// let other = TouchFile::new(world.process("b"), "/a.lock")?;
    /// assert!(other.blocking().try_lock(Exclusive)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlink(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.0.with(|state| state.unlink(&absolute(path.as_ref())))
    }

    /// Renames a fresh file, locked by nobody, over `path`, which may have named nothing.
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
    /// let _guard = touch.blocking().lock_exclusive()?; // notices, and opens the new file
    /// assert_eq!(world.holders("/a.lock"), [("a", Exclusive)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace(&self, path: impl AsRef<Path>) {
        self.0.with(|state| state.replace(&absolute(path.as_ref())));
    }

    /// Renames a file, over another if need be, as rename(2) does.
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

    /// Gives the file that `original` names a second name, as link(2) does. Both lock one file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `original` names nothing,
    /// [`io::ErrorKind::AlreadyExists`] if `link` names something.
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

    /// Makes a file one that cannot be opened for writing, or can be again. It matters to
    /// backends [made](crate::MockBackend::with_capabilities) without `exclusive_read_only`, which
    /// refuse to lock such a file exclusively.
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
