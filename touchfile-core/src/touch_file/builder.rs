//! Settings of a `TouchFile`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::retry::Retry;
use super::wait::OnWait;
use super::wait_event::WaitEvent;
use crate::{LockBackend, OpenFile, OpenOptions};

/// Settings of a [`TouchFile`](super::TouchFile); made by its method
/// [`builder`](super::TouchFile::builder).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use touchfile_core::TouchFile;
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let touch = TouchFile::builder(backend)
///     .path("/some/where/a.lock")
///     .create_mode(0o660)
///     .on_wait(Duration::from_secs(1), |wait| {
///         eprintln!("waiting for {} since {:?}", wait.path().display(), wait.waited());
///     })
///     .build()?;
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct TouchFileBuilder<B> {
    pub(super) backend: B,
    pub(super) place: Place,
    pub(super) options: OpenOptions,
    pub(super) verify: Option<bool>,
    pub(super) on_wait: Option<OnWait>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<Retry>,
    pub(super) deny_recursion: bool,
}

/// Where the file is to be.
#[derive(Debug)]
pub(super) enum Place {
    Open(OpenFile),
    Path(PathBuf),
    TemporaryIn(Option<PathBuf>),
}

impl<B: LockBackend> TouchFileBuilder<B> {
    pub(super) fn new(backend: B) -> Self {
        Self {
            backend,
            place: Place::TemporaryIn(None),
            options: OpenOptions::new(),
            verify: None,
            on_wait: None,
            timeout: None,
            retry: None,
            deny_recursion: false,
        }
    }

    /// Where the lock file is. Without a path the file is temporary.
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        self.place = Place::Path(path.as_ref().to_owned());
        self
    }

    /// A file that is open already, instead of one at a path. It is locked as it is and never opened
    /// again.
    ///
    /// - **Which access it needs**: none in particular for flock(2) on local file systems and on Windows;
    ///   for fcntl(2), and on NFS and SMB, it must be open for writing to be locked exclusively and for
    ///   reading to be locked shared. Else asking for the lock is
    ///   [`Error::Unsupported`](crate::Error::Unsupported).
    /// - **Who closes it**: this `TouchFile` and its guards, when they are gone.
    ///   [`File::try_clone`](std::fs::File::try_clone) makes a copy to keep. It is never closed in
    ///   between, and [`Guard::file`](crate::Guard::file) has it while it is locked.
    /// - **Copies share the lock**: a lock belongs to the open file description. Who has a copy of it has
    ///   the lock too: a `try_clone`, a child that inherited it (files of std are close-on-exec; others
    ///   are left as they are). A lock that was taken through a copy is converted by this, and released
    ///   by whoever unlocks first. Hand an [`OpenFile`] to several `TouchFile`s instead. In a forked
    ///   child this is refused with `Error::Unsupported`.
    /// - **No path, no identity**: nothing compares the file with a path before it is locked, and whoever
    ///   opens the path may get another file by then. [`Guard::verify`](crate::Guard::verify) complains if
    ///   the file had a name when it was given and has none any more; Windows may keep the name of a file
    ///   that is removed for as long as it is open.
    ///
    /// What concerns opening ([`create`](Self::create), [`write`](Self::write), …) has no effect.
    /// [`remove_on_release`](Self::remove_on_release) and [`verify(true)`](Self::verify) are refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use touchfile::{FcntlBackend, LockMode, TouchFile};
    ///
    /// let file = tempfile::tempfile()?; // without a name
    /// let touch = TouchFile::builder(FcntlBackend::new())
    ///     .file(file.try_clone()?)
    ///     .timeout(Duration::from_secs(5))
    ///     .build()?;
    /// let mut guard = touch.blocking().lock_exclusive()?;
    /// file.set_len(4096)?;
    /// guard.downgrade()?;
    /// # assert_eq!(guard.mode(), LockMode::Shared);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn file(mut self, file: impl Into<OpenFile>) -> Self {
        self.place = Place::Open(file.into());
        self
    }

    /// A temporary file in `directory`, instead of the system's place for such files.
    ///
    /// [`build`](Self::build) creates it on the calling thread, which blocks for as long as a network
    /// file system takes for that.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
    /// let touch = TouchFile::builder(FlockBackend::new()).temporary_in(dir.path()).build()?;
    /// assert!(touch.path().starts_with(dir.path()));
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn temporary_in(mut self, directory: impl AsRef<Path>) -> Self {
        self.place = Place::TemporaryIn(Some(directory.as_ref().to_owned()));
        self
    }

    /// Whether a missing file is created. Default: true.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
    /// let touch = TouchFile::builder(FlockBackend::new()).path(path).create(false).build()?;
    /// let error = touch.blocking().lock_exclusive().unwrap_err();
    /// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn create(mut self, create: bool) -> Self {
        self.options.create = create;
        self
    }

    /// The permission bits of a file that is created, whatever the umask.
    /// Default: `0o666` less the umask. Users of one group share a lock only if its mode lets them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
    /// let touch = TouchFile::builder(FlockBackend::new()).path(&path).create_mode(0o660).build()?;
    /// drop(touch.blocking().lock_exclusive()?);
    /// assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn create_mode(mut self, mode: u32) -> Self {
        self.options.create_mode = Some(mode);
        self
    }

    /// Whether a symbolic link as the last component of the path is followed. Default: false.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
    /// let link = dir.path().join("link");
    /// std::os::unix::fs::symlink(&path, &link).unwrap();
    /// # std::fs::write(&path, "").unwrap();
    /// let touch = TouchFile::new(FlockBackend::new(), &link)?;
    /// assert!(touch.blocking().lock_exclusive().is_err());
    /// let touch = TouchFile::builder(FlockBackend::new()).path(&link).follow_symlinks(true).build()?;
    /// assert!(touch.blocking().lock_exclusive().is_ok());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn follow_symlinks(mut self, follow: bool) -> Self {
        self.options.follow_symlinks = follow;
        self
    }

    /// Whether a path with a symbolic link anywhere in it is refused. Default: false, so that a directory on
    /// the way may be a link.
    ///
    /// It is for files below a directory that others can write, who could lead it elsewhere. It excludes
    /// [`follow_symlinks`](Self::follow_symlinks).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Error, TouchFile};
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let root = dir.path().canonicalize().unwrap();
    ///
    /// std::fs::create_dir(root.join("directory")).unwrap();
    /// std::os::unix::fs::symlink("directory", root.join("link")).unwrap();
    /// let at = |path| TouchFile::builder(FlockBackend::new()).path(root.join(path)).no_symlinks(true);
    /// assert!(at("directory/a.lock").build()?.blocking().lock_exclusive().is_ok());
    /// let refused = at("link/b.lock").build()?;
    /// let refused = refused.blocking().lock_exclusive().unwrap_err();
    /// assert!(matches!(refused, Error::InvalidPath { .. }));
    /// assert!(!root.join("directory/b.lock").exists());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn no_symlinks(mut self, refuse: bool) -> Self {
        self.options.no_symlinks = refuse;
        self
    }

    /// Whether the last holder removes the file as its last act. Default: false, which is faster
    /// and needs no right to remove files.
    ///
    /// A shared holder that is the last holds the lock exclusively for the moment of the removal,
    /// in which a `try_lock` elsewhere finds it busy.
    ///
    /// Requires [`Capabilities::remove_on_release`](crate::Capabilities).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
    /// let touch = TouchFile::builder(FlockBackend::new()).path(&path).remove_on_release(true).build()?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// assert!(path.exists());
    /// guard.unlock()?;
    /// assert!(!path.exists());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn remove_on_release(mut self, remove: bool) -> Self {
        self.options.remove_on_release = remove;
        self
    }

    /// Whether the file is opened for writing too, where that is allowed. Default: false.
    ///
    /// A holder can then write to the [file of the guard](crate::Guard::file).
    /// While such a file is open nobody can execute it, and whoever watches it is told of a change
    /// when it is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    /// let touch = TouchFile::builder(FlockBackend::new()).path(&path).write(true).build()?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// writeln!(guard.file()?, "{}", std::process::id())?;
    /// # assert!(std::fs::read_to_string(&path).unwrap().ends_with('\n'));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write(mut self, write: bool) -> Self {
        self.options.write = write;
        self
    }

    /// Whether each acquisition checks that the path still names the locked file, and starts over
    /// if it does not. Default: true where the backend can tell.
    ///
    /// Turn it off only where nobody ever removes or replaces the file: it costs a stat(2). It
    /// stays on for files that are temporary or [removed on release](Self::remove_on_release), and
    /// who has to wait for the lock of a real file looks at the path all the same.
    /// Requires [`Capabilities::identity`](crate::Capabilities) to be turned on.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
    /// let careless = TouchFile::builder(FlockBackend::new()).path(&path).verify(false).build()?;
    /// drop(careless.blocking().lock_exclusive()?);
    /// std::fs::remove_file(&path).unwrap();
    /// let _guard = careless.blocking().lock_exclusive()?; // on a file that is gone: it excludes nobody
    /// let careful = TouchFile::new(FlockBackend::new(), &path)?;
    /// assert!(careful.blocking().try_lock(Exclusive)?.is_some());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = Some(verify);
        self
    }

    /// Calls `report` when a wait passes `period`, and again each time it passes another.
    ///
    /// `report` runs in the waiting task or thread: it should be quick, and must not block on this
    /// lock or another. The event displays as a sentence that names the holder, and
    /// [`WaitEvent::holders`] tells who is in the way. A period under a millisecond counts as one.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::time::Duration;
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    ///
    /// let touch = TouchFile::builder(backend)
    ///     .path("/some/where/a.lock")
    ///     .on_wait(Duration::from_secs(1), |wait| {
    ///         eprintln!("{wait} ({:.0?} so far)", wait.waited());
    ///     })
    ///     .build()?;
    /// # let _held = touch.lock_exclusive().await?;
    /// let patience = Duration::from_secs(5); // so there are four reports
    /// assert!(touch.lock_timeout(Exclusive, patience).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_wait(
        mut self,
        period: Duration,
        report: impl Fn(&WaitEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        let period = period.max(Duration::from_millis(1));
        self.on_wait = Some(OnWait {
            period,
            report: Arc::new(report),
        });
        self
    }

    /// How long a wait may take that has no timeout of its own: those of `lock`, `lock_exclusive`,
    /// `lock_shared` and `with_lock`, owned and blocking alike. Default: for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::time::Duration;
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::builder(backend)
    ///     .path("/some/where/a.lock")
    ///     .timeout(Duration::from_secs(60))
    ///     .build()?;
    /// let _held = touch.lock_exclusive().await?;
    /// assert!(touch.lock_exclusive().await.unwrap_err().is_timeout());
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How often each wait tries again after an [`Error::Transient`](crate::Error::Transient), such as a
    /// shortage of descriptors or a server that does not answer. Default: never.
    ///
    /// A deadline bounds it all: if the next pause would go beyond it, the wait ends with the error at once.
    /// A `try_lock` does not wait, and so does not try again. An attempt after a pause begins at the end of
    /// the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{Retry, TouchFile};
    /// use touchfile_mock::{Call, World};
    ///
    /// let world = World::new();
    /// let touch = TouchFile::builder(world.process("a"))
    ///     .path("/some/where/a.lock")
    ///     .retry(Retry::new(3))
    ///     .build()?;
    /// world.fail_next(Call::Open, std::io::ErrorKind::ResourceBusy);
    /// touch.lock_exclusive().await?.unlock().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Whether waiting for a lock that the same task or thread has taken on this `TouchFile` is an
    /// [`Error::Deadlock`](crate::Error::Deadlock). Default: false, so that it is a warning in the log,
    /// and the message of a timeout says so.
    ///
    /// A guard that was sent elsewhere, and a task that polls several acquisitions at a time, are
    /// mistaken for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Error, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::builder(backend)
    ///     .path("/some/where/a.lock")
    ///     .deny_recursion(true)
    ///     .build()?;
    /// let _held = touch.blocking().lock_exclusive()?;
    /// let error = touch.blocking().lock_exclusive().unwrap_err();
    /// assert!(matches!(error, Error::Deadlock { .. }));
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn deny_recursion(mut self, deny: bool) -> Self {
        self.deny_recursion = deny;
        self
    }
}
