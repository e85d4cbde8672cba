//! Choosing between flock(2) and fcntl(2).

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use touchfile_core::{Attempt, Guarantee, Holder, LockKind, LockMode, OpenFile, OpenOptions};
use touchfile_fcntl::Fcntl;
use touchfile_file::{Access, BlockingLock, FileHandle, FileSystem, Mount, RawFileLock};
use touchfile_flock::Flock;

use super::choice::{self, Method, choose};

pub(super) async fn open(path: &Path, options: &OpenOptions) -> io::Result<AutoHandle> {
    FileHandle::open_unleased(AutoLock::new(FileSystem::from_file), path, options).await
}

pub(super) fn adopt(file: &OpenFile) -> io::Result<AutoHandle> {
    FileHandle::adopt(AutoLock::new(FileSystem::from_file), file)
}

pub(super) async fn holders(path: &Path) -> io::Result<Vec<Holder>> {
    let kinds = |file_system| match choose(file_system) {
        Method::Flock => &[LockKind::Flock][..],
        Method::Fcntl => &[LockKind::Ofd, LockKind::Posix],
    };
    touchfile_file::look_up_holders(path, kinds).await
}

pub(super) fn guarantee(path: &Path) -> io::Result<Guarantee> {
    let mut options = OpenOptions::new();
    options.create = false;
    options.follow_symlinks = true;
    let file = match touchfile_file::open(path, &options) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = match path.parent() {
                Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
                Some(parent) => parent,
                None => return Err(error),
            };
            touchfile_file::open(directory, &options)?
        }
        opened => opened?,
    };
    Ok(worth(FileSystem::from_file(&file)?, &file))
}

/// A file open for the locks that are right where it is.
pub type AutoHandle = FileHandle<AutoLock>;

/// flock(2) or fcntl(2), whichever was chosen when the file was opened.
#[derive(Debug)]
pub struct AutoLock {
    tell: fn(&File) -> io::Result<FileSystem>,
    file_system: FileSystem,
    method: Method,
}

impl AutoLock {
    fn new(tell: fn(&File) -> io::Result<FileSystem>) -> Self {
        Self {
            tell,
            // Until the file is open.
            file_system: FileSystem::from_magic(0),
            method: Method::Flock,
        }
    }

    /// The file system the file is on.
    #[must_use]
    pub fn file_system(&self) -> FileSystem {
        self.file_system
    }

    /// The way of locking that was chosen.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Says why it is fcntl(2) that refuses.
    fn explain(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::Unsupported || error.get_ref().is_none() {
            return error;
        }
        let name = self.file_system.name();
        io::Error::new(
            error.kind(),
            format!("files on this file system ({name}) are locked with fcntl(2): {error}"),
        )
    }
}

impl RawFileLock for AutoLock {
    #[inline]
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        match self.method {
            Method::Flock => Flock.try_lock(file, mode),
            Method::Fcntl => Fcntl::default()
                .try_lock(file, mode)
                .map_err(|error| self.explain(error)),
        }
    }

    #[inline]
    fn unlock(&self, file: &File) -> io::Result<()> {
        match self.method {
            Method::Flock => Flock.unlock(file),
            Method::Fcntl => Fcntl::default().unlock(file),
        }
    }

    fn blocking(&self) -> Option<Arc<dyn BlockingLock>> {
        match self.method {
            Method::Flock => Flock.blocking(),
            Method::Fcntl => Fcntl::default().blocking(),
        }
    }

    fn access(&self, file_system: FileSystem) -> Access {
        match choose(file_system) {
            Method::Flock => Flock.access(file_system),
            Method::Fcntl => Fcntl::default().access(file_system),
        }
    }

    fn queue_key(&self) -> Option<Cow<'static, str>> {
        match self.method {
            Method::Flock => Flock.queue_key(),
            Method::Fcntl => Fcntl::default().queue_key(),
        }
    }

    fn kernel_listing(&self) -> Option<(LockKind, Option<RangeInclusive<u64>>)> {
        match self.method {
            Method::Flock => Flock.kernel_listing(),
            Method::Fcntl => Fcntl::default().kernel_listing(),
        }
    }

    fn guarantee(&self, file: &File) -> io::Result<Guarantee> {
        Ok(worth(self.file_system, file))
    }

    /// Chooses, also anew in a forked child, whose file may be another one.
    fn on_open(&mut self, file: &File, options: &OpenOptions) -> io::Result<()> {
        self.file_system = (self.tell)(file)?;
        self.method = choose(self.file_system);
        match self.method {
            Method::Flock => Ok(()),
            Method::Fcntl => Fcntl::default()
                .on_open(file, options)
                .map_err(|error| self.explain(error)),
        }
    }
}

fn worth(file_system: FileSystem, file: &File) -> Guarantee {
    // Whatever keeps mountinfo from being read, nothing is known then.
    let mount = Mount::from_file(file).ok().flatten();
    choice::guarantee(file_system, mount.as_ref())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use touchfile_core::LockMode::{Exclusive, Shared};
    use touchfile_core::{LockBackend, LockHandle};
    use touchfile_fcntl::FcntlBackend;
    use touchfile_flock::FlockBackend;

    use super::*;
    use crate::TouchFile;
    use crate::auto::AutoBackend;

    /// As if the file were on NFS.
    fn open_on_nfs(path: &Path, options: &OpenOptions) -> io::Result<AutoHandle> {
        let nfs = |_: &File| Ok(FileSystem::from_magic(0x6969));
        let mut options = options.clone();
        options.write = true; // which the file system asks for, where it is one
        FileHandle::open(AutoLock::new(nfs), path, &options)
    }

    #[tokio::test]
    async fn what_is_chosen_is_what_locks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let plain = OpenOptions::new();
        let mut here = AutoBackend::new().open(&path, &plain).await.unwrap();
        let mut nfs = open_on_nfs(&path, &plain).unwrap();
        let mut flock = FlockBackend::new().open(&path, &plain).await.unwrap();
        let mut fcntl = FcntlBackend::new().open(&path, &plain).await.unwrap();
        assert_eq!(
            (here.raw().method(), nfs.raw().method()),
            (Method::Flock, Method::Fcntl)
        );

        // The locks that waiters look for in the kernel's list.
        assert_eq!(here.raw().kernel_listing(), Some((LockKind::Flock, None)));
        assert_eq!(nfs.raw().kernel_listing(), Some((LockKind::Ofd, None)));

        assert_eq!(here.try_lock(Exclusive).await.unwrap(), Attempt::Acquired);
        assert_eq!(flock.try_lock(Shared).await.unwrap(), Attempt::WouldBlock);
        assert_eq!(fcntl.try_lock(Exclusive).await.unwrap(), Attempt::Acquired);
        assert_eq!(nfs.try_lock(Shared).await.unwrap(), Attempt::WouldBlock);
        fcntl.unlock().await.unwrap();
        assert_eq!(nfs.try_lock(Exclusive).await.unwrap(), Attempt::Acquired);
        assert_eq!(fcntl.try_lock(Shared).await.unwrap(), Attempt::WouldBlock);
        nfs.unlock().await.unwrap();
        assert_eq!(fcntl.try_lock(Shared).await.unwrap(), Attempt::Acquired);
    }

    #[tokio::test]
    async fn a_refusal_says_why_it_is_fcntl_that_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let mut handle = open_on_nfs(dir.path(), &OpenOptions::new()).unwrap();
        let error = handle.try_lock(Exclusive).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let why = error.to_string();
        assert!(why.contains("(nfs) are locked with fcntl(2)"), "{why}");
        assert!(why.contains("opened for writing"), "{why}");
        assert_eq!(handle.try_lock(Shared).await.unwrap(), Attempt::Acquired);
    }

    #[tokio::test]
    async fn a_directory_is_locked_exclusively_where_that_is_possible() {
        let dir = tempfile::tempdir().unwrap();
        let backend = AutoBackend::new();
        let mut handle = backend.open(dir.path(), &OpenOptions::new()).await.unwrap();
        assert_eq!(handle.raw().method(), Method::Flock);
        assert_eq!(handle.try_lock(Exclusive).await.unwrap(), Attempt::Acquired);
    }

    #[test]
    fn a_file_of_which_nothing_can_be_known_is_not_locked_in_some_way_or_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let fails = |_: &File| Err(io::Error::from_raw_os_error(5)); // EIO
        let error = FileHandle::open(AutoLock::new(fails), &path, &OpenOptions::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
    }

    #[test]
    fn the_guarantee_is_that_of_the_file_or_of_where_it_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let backend = AutoBackend::new();
        let there = FileSystem::from_file(&File::open(dir.path()).unwrap()).unwrap();
        let expected = choice::guarantee(there, None);
        assert_eq!(backend.guarantee(&path).unwrap(), expected);
        assert!(!path.exists());
        let touch = TouchFile::new(backend, &path).unwrap();
        let guard = touch.blocking().lock_exclusive().unwrap();
        assert_eq!(guard.guarantee().unwrap(), expected);
        assert_eq!(touch.guarantee().unwrap(), expected);
        assert!(backend.guarantee(&dir.path().join("no/where")).is_err());
    }
}
