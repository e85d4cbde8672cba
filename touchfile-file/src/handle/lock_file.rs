//! A lock file, open: what is done to it, and to its path.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use touchfile_core::backoff::Backoff;
use touchfile_core::{Attempt, LockMode, OpenFile, OpenOptions};

use super::raw::{BlockingLock, RawFileConvert, RawFileLock};
use crate::identity::has_name;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::nfs;
use crate::open::{OpenFlags, open_with};
use crate::removal::remove;
use crate::wait::{self, Contended, Lock, Target};
use crate::{
    Access, FileId, FileSystem, ForkGeneration, Symlinks, file_system_name, opening_may_stall,
    retry_interrupted,
};

/// An open lock file, and which lock is held on it.
#[derive(Debug)]
pub(super) struct LockFile<R> {
    pub(super) raw: R,
    pub(super) file: File,
    id: FileId,
    file_system: FileSystem,
    process: ForkGeneration,
    held: Option<LockMode>,
    path: PathBuf,
    options: OpenOptions,
    adopted: Option<Adopted>,
}

/// A file that was given open.
#[derive(Debug)]
struct Adopted {
    /// Its other handles, which have the same open file description.
    shared: OpenFile,
    had_name: bool,
}

/// How long a file that was removed may keep its name. Nobody ends that but those who have it open.
const LONGEST_REMOVAL: Duration = Duration::from_secs(2);

/// An open file with what is known of it.
#[derive(Debug)]
struct Opened {
    file: File,
    id: FileId,
    file_system: FileSystem,
}

impl<R: RawFileLock> LockFile<R> {
    pub(super) fn open(raw: R, path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let opened = open(&raw, path, options)?;
        Self::with_opened(raw, opened, path, options)
    }

    /// Opens it, and waits while somebody has a lease on it, or on Windows for a moment while a file that
    /// was removed still has its name.
    pub(super) async fn open_unleased(
        raw: R,
        path: &Path,
        options: &OpenOptions,
    ) -> io::Result<Self> {
        let mut backoff = Backoff::new();
        let begun = Instant::now();
        let opened = loop {
            match open(&raw, path, options) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if cfg!(windows) && begun.elapsed() > LONGEST_REMOVAL {
                        return Err(error);
                    }
                    backoff.pause().await;
                }
                opened => break opened?,
            }
        };
        Self::with_opened(raw, opened, path, options)
    }

    fn with_opened(
        mut raw: R,
        opened: Opened,
        path: &Path,
        options: &OpenOptions,
    ) -> io::Result<Self> {
        raw.on_open(&opened.file, options)?;
        Ok(Self {
            raw,
            file: opened.file,
            id: opened.id,
            file_system: opened.file_system,
            process: ForkGeneration::current(),
            held: None,
            path: path.to_owned(),
            options: options.clone(),
            adopted: None,
        })
    }

    /// Makes a file that is open already one's own, by a copy of its descriptor.
    pub(super) fn adopt(raw: R, shared: &OpenFile) -> io::Result<Self> {
        let file = shared.file().try_clone()?;
        let mut options = OpenOptions::new();
        options.follow_symlinks = true;
        let path = way_to(&file);
        let adopted = Adopted {
            had_name: has_name(&file)?,
            shared: shared.clone(),
        };
        let opened = Opened {
            id: FileId::from_file(&file)?,
            file_system: file_system(&file)?,
            file,
        };
        Ok(Self {
            adopted: Some(adopted),
            ..Self::with_opened(raw, opened, &path, &options)?
        })
    }

    /// The mode of the lock that this handle took and has not released, in whichever process.
    #[inline]
    pub(super) fn held(&self) -> Option<LockMode> {
        self.held
    }

    /// Whether this is the process that has opened the file, and not a child that it forked.
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        self.process.is_current()
    }

    #[cfg(feature = "tracing")]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file_system(&self) -> FileSystem {
        self.file_system
    }

    /// What is locked: the file, and of the file what the backend locks of it.
    pub(super) fn identity(&self) -> Vec<u8> {
        let mut identity = self.id.in_order().to_vec();
        identity.extend(self.raw.queue_key().unwrap_or_default().as_bytes());
        identity
    }

    /// Opens the file anew in a forked child, which has only a copy of its parent's.
    #[cold]
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if self.adopted.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a forked child has only a copy of a file that its parent was given open, and would \
                 share its lock: open it anew",
            ));
        }
        let opened = open(&self.raw, &self.path, &self.options)?;
        self.raw.on_open(&opened.file, &self.options)?;
        (self.file, self.id, self.file_system) = (opened.file, opened.id, opened.file_system);
        self.process = ForkGeneration::current();
        Ok(())
    }

    /// Releases the lock, and returns whether there was one of this process. The error is that of
    /// removing the file: the lock is released.
    #[inline]
    pub(super) fn release(&mut self) -> io::Result<Released> {
        let Some(mode) = self.held.take() else {
            return Ok(Released::Nothing);
        };
        if !self.is_ours() {
            return Ok(Released::Nothing); // the parent's lock
        }
        let mut is_locked = true;
        let removed = if self.options.remove_on_release {
            self.remove_if_last(mode, &mut is_locked)
        } else {
            Ok(())
        };
        if is_locked {
            self.call_unlock()?;
        }
        Ok(Released::Lock { removed })
    }

    #[inline]
    fn call_try_lock(&self, mode: LockMode) -> io::Result<Attempt> {
        let call = |file: &File| retry_interrupted(|| self.raw.try_lock(file, mode));
        match &self.adopted {
            None => call(&self.file),
            Some(adopted) => adopted.shared.try_lock(mode, call),
        }
    }

    #[inline]
    fn call_unlock(&self) -> io::Result<()> {
        let call = |file: &File| retry_interrupted(|| self.raw.unlock(file));
        match &self.adopted {
            None => call(&self.file),
            Some(adopted) => adopted.shared.unlock(call),
        }
    }

    /// Unlinks the file as the last act of its last holder.
    ///
    /// Safe because whoever locks the file next checks that the path still names it: they find
    /// that it does not and start over. Only a process that holds the file exclusively may do so;
    /// a shared holder tries to become that one, and may lose its lock in the attempt, which it is
    /// about to give up anyway. `is_locked` says afterwards whether it has one.
    fn remove_if_last(&self, mode: LockMode, is_locked: &mut bool) -> io::Result<()> {
        if mode == LockMode::Shared {
            // A handle's own shared lock is in its way on Windows.
            if cfg!(windows) {
                self.raw.unlock(&self.file)?;
                *is_locked = false;
            }
            match retry_interrupted(|| self.raw.try_lock(&self.file, LockMode::Exclusive))? {
                Attempt::Acquired => *is_locked = true,
                Attempt::WouldBlock => return Ok(()),
            }
        }
        // A client of a server must first be made to ask it.
        if self.file_system.may_stall() && !self.is_at(&self.path)? {
            return Ok(());
        }
        remove(&self.path, self.symlinks(), self.id)
    }

    /// Whether `path` names this file; if it was given open, whether it still has a name if it had one.
    #[inline]
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        if let Some(adopted) = &self.adopted {
            return Ok(!adopted.had_name || has_name(&self.file)?);
        }
        if self.file_system.may_stall() {
            return self.is_at_for_the_server(path);
        }
        Ok(FileId::from_path(path, self.symlinks())? == Some(self.id))
    }

    /// [`is_at`](Self::is_at) on a network file system, where another host may have replaced the
    /// file, and the client would go on to believe what it remembers for half a minute.
    fn is_at_for_the_server(&self, path: &Path) -> io::Result<bool> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let asked = nfs::forget_name(path, self.symlinks(), nfs::is_nfs(self.file_system));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let asked = Ok(());
        match asked.and_then(|()| FileId::from_path(path, self.symlinks())) {
            Ok(id) => Ok(id == Some(self.id)),
            // The file that the path named is gone at the server.
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn symlinks(&self) -> Symlinks {
        Symlinks::in_options(&self.options)
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

/// What a release did.
#[derive(Debug)]
pub(super) enum Released {
    /// Nothing: no lock of this process was held.
    Nothing,
    /// The lock is released; `removed` is an error if the file was to be removed and could not be.
    Lock { removed: io::Result<()> },
}

impl<R: RawFileConvert> LockFile<R> {
    /// Makes one attempt to hold the lock in another mode.
    pub(super) fn try_convert(&mut self, mode: LockMode) -> io::Result<Attempt> {
        let call = |file: &File| retry_interrupted(|| self.raw.try_convert(file, mode));
        let attempt = match &self.adopted {
            None => call(&self.file),
            Some(adopted) => adopted.shared.try_convert(mode, call),
        }
        .map_err(|error| self.name_file_system(error))?;
        if attempt == Attempt::Acquired {
            self.held = Some(mode);
        }
        Ok(attempt)
    }
}

impl<R: RawFileLock> Contended for LockFile<R> {
    #[inline]
    fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        if !self.is_ours() {
            self.reopen()?; // this process was forked during a wait
        }
        let attempt = self
            .call_try_lock(mode)
            .map_err(|error| self.name_file_system(error))?;
        if attempt == Attempt::Acquired {
            self.held = Some(mode);
        }
        Ok(attempt)
    }

    fn unlock(&mut self) -> io::Result<()> {
        self.held = None;
        self.call_unlock()
    }

    fn check_path(&self) -> io::Result<()> {
        if self.adopted.is_some() || self.is_at(&self.path)? {
            return Ok(());
        }
        Err(io::ErrorKind::StaleNetworkFileHandle.into())
    }

    fn target(&self) -> Target<'_> {
        Target {
            file: &self.file,
            id: self.id,
            path: &self.path,
            symlinks: self.symlinks(),
        }
    }

    fn queue_key(&self) -> Option<String> {
        let key = self.raw.queue_key()?;
        Some(format!("{key}/{}", self.id))
    }

    fn listing(&self, mode: LockMode) -> Option<Lock> {
        // To look for its holder may take long.
        if self.file_system.may_stall() {
            return None;
        }
        let (kind, range) = self.raw.kernel_listing()?;
        Some(Lock {
            file: self.id,
            kind,
            range,
            mode,
        })
    }

    fn blocking(&self) -> Option<Arc<dyn BlockingLock>> {
        // Another host may keep it in the kernel, whatever it is sent.
        if self.file_system.may_stall() {
            return None;
        }
        self.raw.blocking()
    }

    fn open_again(&self) -> Option<File> {
        if self.adopted.is_some() {
            return None; // the lock is to be that of the description that was given
        }
        let mut options = self.options.clone();
        options.create = false;
        let opened = open(&self.raw, &self.path, &options).ok()?;
        (opened.id == self.id).then_some(opened.file)
    }

    fn take_over(&mut self, file: File, mode: LockMode) -> io::Result<()> {
        self.file = file;
        self.held = Some(mode);
        self.raw
            .on_open(&self.file, &self.options)
            .inspect_err(|_| drop(self.unlock()))
    }
}

/// A path to an open file, whatever has become of its name.
fn way_to(file: &File) -> PathBuf {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)).into();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return crate::platform().name_of(file).unwrap_or_default();
}

/// How often in a row the server of a network file system may say of a file that was just opened
/// that it is gone, before it is not only the file that is gone.
const MAX_STALE: u32 = 100;

fn open<R: RawFileLock>(raw: &R, path: &Path, options: &OpenOptions) -> io::Result<Opened> {
    // Other processes see by it that the release will be announced.
    let mark = match raw.kernel_listing() {
        Some(_) => wait::open_flags(),
        None => OpenFlags::empty(),
    };
    // The file system is known once the file is open, and most lock files are on a local one.
    // A server of NFS 4 answers an opening for reading with a delegation, which keeps others from
    // opening the file for writing until it has been called back: there the guess must be right.
    let guess = if opening_may_stall(path, options.follow_symlinks) {
        FileSystem::UNKNOWN
    } else {
        FileSystem::TYPICAL
    };
    let access = raw.access(guess);
    let opened = open_unless_stale(path, options, access, mark)?;
    let needed = raw.access(opened.file_system);
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
    mark: OpenFlags,
) -> io::Result<Opened> {
    for _ in 1..MAX_STALE {
        match open_once(path, options, access, mark) {
            // Another host has removed it: there is a new one, or one is to be made.
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                nfs::forget_name(path, Symlinks::in_options(options), true)?;
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
    mark: OpenFlags,
) -> io::Result<Opened> {
    if options.remove_on_release && options.follow_symlinks {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "removing on release would remove a followed link and leave the file behind it",
        ));
    }
    if options.no_symlinks && options.follow_symlinks {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "symbolic links cannot be followed (follow_symlinks) and refused (no_symlinks) at once",
        ));
    }
    let file = open_with(path, options, access, mark)?;
    if options.remove_on_release && file.metadata()?.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory, which cannot be removed on release",
        ));
    }
    Ok(Opened {
        id: FileId::from_file(&file)?,
        file_system: file_system(&file)?,
        file,
    })
}

/// The file system of `file`; an unknown one if a sandbox refuses to tell. Then the lock is treated like
/// that of another host, which is slower and never wrong.
fn file_system(file: &File) -> io::Result<FileSystem> {
    match FileSystem::from_file(file) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(FileSystem::UNKNOWN),
        told => told,
    }
}
