//! A lock file, open: all of a [`LockHandle`] but the two system calls backends differ in.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::OFlags;
use tracing::warn;

use super::fork::ForkGeneration;
use super::identity::FileId;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::nfs;
use super::open::{Access, open_with};
use super::wait::{self, Courtesy, Follower, KernelWait, Line, Lock, Place, Releases};
use super::{FileSystem, file_system_name, retry_interrupted};
use touchfile_core::backoff::Backoff;
use touchfile_core::{
    Attempt, ConvertLock, Guarantee, LockHandle, LockKind, LockMode, OpenOptions,
};

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
    /// each other. Those who wait for such a lock stand in one line; without an answer each waits
    /// by itself.
    fn space(&self) -> Option<Cow<'static, str>> {
        None
    }

    /// How the kernel lists such a lock (/proc/locks in proc(5)): its kind, and its range unless that
    /// is the whole file.
    ///
    /// With this and [`space`](Self::space), a wait finds out whether the holder is a [`FileHandle`]
    /// too, which wakes it up; without, it looks every few milliseconds for as long as it lasts.
    fn listed(&self) -> Option<(LockKind, Option<RangeInclusive<u64>>)> {
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

    /// Told once `file` is open, before anything else is asked: for what depends on the file.
    ///
    /// Told again in a forked child that opens the file anew to lock it, and when a wait has opened it
    /// once more.
    ///
    /// # Errors
    ///
    /// Whatever keeps `file` from being a lock file; opening fails with it.
    fn opened(&mut self, file: &File, options: &OpenOptions) -> io::Result<()> {
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
    /// What the system says.
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
    raw: R,
    file: File,
    id: FileId,
    file_system: FileSystem,
    process: ForkGeneration,
    held: Option<LockMode>,
    path: PathBuf,
    options: OpenOptions,
    courtesy: Courtesy,
}

impl<R: RawFileLock> FileHandle<R> {
    /// Opens `path` by the rules of [`open`](super::open()) and takes no lock.
    ///
    /// # Errors
    ///
    /// Those of [`open`](super::open()); with `remove_on_release` also
    /// [`io::ErrorKind::IsADirectory`] for a directory and [`io::ErrorKind::Unsupported`] together
    /// with `follow_symlinks`.
    ///
    /// ```
    /// # use touchfile_core::OpenOptions;
    /// # let dir = tempfile::tempdir()?;
    /// use touchfile_file::FileHandle;
    /// use touchfile_flock::Flock;
    ///
    /// let missing = dir.path().join("missing").join("a.lock");
    /// let error = FileHandle::open(Flock, &missing, &OpenOptions::new()).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open(raw: R, path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let opened = open_for(&raw, path, options)?;
        Self::with_opened(raw, opened, path, options)
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
    /// Those of [`open`](Self::open).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn open_unleased(raw: R, path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let mut backoff = Backoff::new();
        let opened = loop {
            match open_for(&raw, path, options) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => backoff.pause().await,
                opened => break opened?,
            }
        };
        Self::with_opened(raw, opened, path, options)
    }

    fn with_opened(
        mut raw: R,
        (file, id, file_system): (File, FileId, FileSystem),
        path: &Path,
        options: &OpenOptions,
    ) -> io::Result<Self> {
        raw.opened(&file, options)?;
        Ok(Self {
            raw,
            file,
            id,
            file_system,
            process: ForkGeneration::current(),
            held: None,
            path: path.to_owned(),
            options: options.clone(),
            courtesy: Courtesy::default(),
        })
    }

    /// The open file.
    ///
    /// To be locked and unlocked through this handle only, which wakes those who wait.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What locks it.
    pub fn raw(&self) -> &R {
        &self.raw
    }

    #[inline]
    pub(super) fn try_lock_now(&mut self, mode: LockMode) -> io::Result<Attempt> {
        if let Some(held) = self.held {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("this handle already holds the {held} lock: unlock it first"),
            ));
        }
        if !self.process.is_current() {
            let (file, id, file_system) = open_for(&self.raw, &self.path, &self.options)?;
            self.raw.opened(&file, &self.options)?;
            (self.file, self.id, self.file_system) = (file, id, file_system);
            self.process = ForkGeneration::current();
            self.courtesy = Courtesy::default();
        }
        let attempt = retry_interrupted(|| self.raw.try_lock(&self.file, mode))
            .map_err(|error| self.name_file_system(error))?;
        if attempt == Attempt::Acquired {
            self.held = Some(mode);
            self.courtesy.acquired();
        }
        Ok(attempt)
    }

    #[inline]
    fn unlock_now(&mut self) -> io::Result<()> {
        let Some(mode) = self.held.take() else {
            return Ok(());
        };
        if !self.process.is_current() {
            return Ok(()); // the parent's lock, not ours
        }
        let removed = if self.options.remove_on_release {
            self.remove_if_last(mode)
        } else {
            Ok(())
        };
        retry_interrupted(|| self.raw.unlock(&self.file))?;
        let (file, id) = (&self.file, self.id);
        let (path, follow) = (&self.path, self.options.follow_symlinks);
        self.courtesy
            .released(|| wait::announce(file, id, path, follow));
        removed
    }

    /// Gives up a lock that was only looked at.
    pub(super) fn let_go_again(&mut self) -> io::Result<()> {
        self.held = None;
        retry_interrupted(|| self.raw.unlock(&self.file))?;
        // Whoever tried meanwhile found it busy.
        self.announce();
        Ok(())
    }

    /// Unlinks the file as the last act of its last holder.
    ///
    /// Safe because whoever locks the file next checks that the path still names it: they find
    /// that it does not and start over. Only a process that holds the file exclusively may do so;
    /// a shared holder tries to become that one, and may lose its lock in the attempt, which it is
    /// about to give up anyway.
    fn remove_if_last(&self, mode: LockMode) -> io::Result<()> {
        let alone = mode == LockMode::Exclusive
            || retry_interrupted(|| self.raw.try_lock(&self.file, LockMode::Exclusive))?
                == Attempt::Acquired;
        if !alone || !self.is_at(&self.path)? {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()), // removed, or somebody else was quicker
        }
    }

    #[inline]
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        if self.file_system.may_stall() {
            return self.is_at_for_the_server(path);
        }
        Ok(FileId::of_path(path, self.options.follow_symlinks)? == Some(self.id))
    }

    /// [`is_at`](Self::is_at) on a network file system, where another host may have replaced the
    /// file, and the client would go on to believe what it remembers for half a minute.
    fn is_at_for_the_server(&self, path: &Path) -> io::Result<bool> {
        let follow = self.options.follow_symlinks;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let asked = nfs::forget_name(path, follow, nfs::is_nfs(self.file_system));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let asked = Ok(());
        match asked.and_then(|()| FileId::of_path(path, follow)) {
            Ok(id) => Ok(id == Some(self.id)),
            // The file that the path named is gone at the server.
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An error if the path names another file by now, whose lock is what is wanted.
    pub(super) fn refuse_stale(&self) -> io::Result<()> {
        if self.is_at(&self.path)? {
            return Ok(());
        }
        Err(io::ErrorKind::StaleNetworkFileHandle.into())
    }

    pub(super) fn courtesy(&mut self) -> &mut Courtesy {
        &mut self.courtesy
    }

    /// The lock as it is listed while it is held; `None` if that is not known, or may take long.
    pub(super) fn listed(&self, mode: LockMode) -> Option<Lock> {
        if self.file_system.may_stall() {
            return None;
        }
        let (kind, range) = self.raw.listed()?;
        Some(Lock {
            file: self.id,
            kind,
            range,
            mode,
        })
    }

    fn announce(&self) {
        let follow = self.options.follow_symlinks;
        wait::announce(&self.file, self.id, &self.path, follow);
    }

    fn line(&self) -> Option<Line> {
        let space = self.raw.space()?;
        Line::of(format_args!("{space}/{}", self.id))
    }

    /// Takes the place behind those who wait already, if there are any.
    fn look_for_others(&mut self) -> bool {
        let place = self.line().and_then(|line| line.join());
        let found = self.courtesy.keep_place(place);
        if found {
            // Our own latest release may have been a silent one.
            self.announce();
        }
        found
    }

    /// The place behind others that was taken, or is taken now.
    pub(super) fn place_behind_others(&mut self) -> Option<Follower> {
        if !self.courtesy.has_place() && self.held.is_none() && self.courtesy.is_time_to_look() {
            self.look_for_others();
        }
        self.courtesy.take_place()
    }

    /// The next place in the line of those who wait for this lock.
    pub(super) fn enter_line(&self) -> Place {
        self.line().map_or(Place::Leads(None), |line| line.enter())
    }

    /// A wait in the kernel's queue for this lock, if there is one to be had.
    pub(super) fn wait_in_kernel(&self, mode: LockMode) -> Option<KernelWait> {
        // Another host may keep it in the kernel, whatever it is sent.
        if self.file_system.may_stall() {
            return None;
        }
        let lock = self.raw.blocking()?;
        KernelWait::start(lock, mode, || {
            let mut options = self.options.clone();
            options.create = false;
            let (file, id, _) = open_for(&self.raw, &self.path, &options).ok()?;
            (id == self.id).then_some(file)
        })
    }

    /// Takes over the lock that a wait in the kernel's queue has acquired, with its open file.
    pub(super) fn take_over(&mut self, file: File, mode: LockMode) -> io::Result<()> {
        self.file = file;
        self.held = Some(mode);
        self.courtesy.acquired();
        self.raw.opened(&self.file, &self.options)
    }

    /// What happens to the file, if the system tells.
    pub(super) fn releases(&self) -> Option<Releases> {
        // Everything that happens in a directory would wake those who wait for its lock.
        if !self
            .file
            .metadata()
            .is_ok_and(|metadata| metadata.is_file())
        {
            return None;
        }
        Releases::of(&self.path, self.options.follow_symlinks)
    }

    fn name_file_system(&self, error: io::Error) -> io::Error {
        // A backend's own words are about something else.
        if error.kind() != io::ErrorKind::Unsupported || error.get_ref().is_some() {
            return error;
        }
        let name = file_system_name(&self.file);
        io::Error::new(
            error.kind(),
            format!("the file system ({name}) refuses it: {error}"),
        )
    }
}

#[async_trait]
impl<R: RawFileLock> LockHandle for FileHandle<R> {
    #[inline]
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.try_lock_now(mode)
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        wait::until_acquired(self, mode).await
    }

    #[inline]
    async fn try_lock_fair(&mut self, mode: LockMode) -> io::Result<Attempt> {
        // One that holds a lock is to be refused, not to wait for another.
        if self.held.is_none() && self.courtesy.is_time_to_look() && self.look_for_others() {
            return Ok(Attempt::WouldBlock);
        }
        self.try_lock_now(mode)
    }

    #[inline]
    async fn unlock(&mut self) -> io::Result<()> {
        self.unlock_now()
    }

    #[inline]
    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.is_at(path)
    }

    async fn is_lost(&self) -> io::Result<bool> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.held.is_some() && self.process.is_current() && nfs::is_nfs(self.file_system) {
            return nfs::is_lost(&self.file);
        }
        Ok(false)
    }

    #[inline]
    fn may_block(&self) -> bool {
        self.file_system.may_stall()
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn guarantee(&self) -> io::Result<Guarantee> {
        self.raw.guarantee(&self.file)
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
        let Some(held) = self.held else {
            return nothing("this handle holds no lock that could change its mode");
        };
        if !self.process.is_current() {
            return nothing("the lock of this handle is that of the process that forked this one");
        }
        if held == mode {
            return Ok(Attempt::Acquired);
        }
        let attempt = retry_interrupted(|| self.raw.try_convert(&self.file, mode))
            .map_err(|error| self.name_file_system(error))?;
        if attempt == Attempt::Acquired {
            self.held = Some(mode);
            if mode == LockMode::Shared {
                // For those who wait for a shared lock it is a release.
                let (file, id) = (&self.file, self.id);
                let (path, follow) = (&self.path, self.options.follow_symlinks);
                self.courtesy
                    .let_pass(|| wait::announce(file, id, path, follow));
            }
        }
        Ok(attempt)
    }
}

impl<R: RawFileLock> AsFd for FileHandle<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl<R: RawFileLock> Drop for FileHandle<R> {
    fn drop(&mut self) {
        if let Err(error) = self.unlock_now() {
            let path = self.path.display();
            warn!(target: "touchfile", %path, %error, "releasing the lock of a dropped handle failed");
        }
    }
}

/// How often in a row the server of a network file system may say of a file that was just opened
/// that it is gone, before it is not only the file that is gone.
const MAX_STALE: u32 = 100;

fn open_for<R: RawFileLock>(
    raw: &R,
    path: &Path,
    options: &OpenOptions,
) -> io::Result<(File, FileId, FileSystem)> {
    // Those who wait will be told, unless their host tells of nothing.
    let mark = match raw.listed() {
        Some(_) => wait::MARK,
        None => OFlags::empty(),
    };
    // The file system is known once the file is open, and most lock files are on a local one.
    let access = raw.access(FileSystem::TYPICAL);
    let opened = open_unless_stale(path, options, access, mark)?;
    let needed = raw.access(opened.2);
    if access == Access::ReadWrite || needed == Access::Read {
        return Ok(opened);
    }
    drop(opened);
    open_unless_stale(path, options, needed, mark)
}

fn open_unless_stale(
    path: &Path,
    options: &OpenOptions,
    access: Access,
    mark: OFlags,
) -> io::Result<(File, FileId, FileSystem)> {
    for _ in 1..MAX_STALE {
        match open_once(path, options, access, mark) {
            // Another host has removed it: there is a new one, or one is to be made.
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                nfs::forget_name(path, options.follow_symlinks, true)?;
            }
            done => return done,
        }
    }
    open_once(path, options, access, mark)
}

fn open_once(
    path: &Path,
    options: &OpenOptions,
    access: Access,
    mark: OFlags,
) -> io::Result<(File, FileId, FileSystem)> {
    if options.remove_on_release && options.follow_symlinks {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "removing on release would remove a followed link and leave the file behind it",
        ));
    }
    let file = open_with(path, options, access, mark)?;
    if options.remove_on_release && file.metadata()?.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory, which cannot be removed on release",
        ));
    }
    let id = FileId::of_file(&file)?;
    let file_system = FileSystem::of(&file)?;
    Ok((file, id, file_system))
}
