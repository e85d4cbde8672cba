//! A touchfile backend by a third party, as an example: whoever makes a directory holds the lock.
//!
//! mkdir(2) succeeds for one caller only, on every file system there is, which is why shell
//! scripts and mail programs have locked like this for decades. It does less than flock(2), and
//! says so in its capabilities: no shared locks, and a holder that is killed leaves its lock
//! behind. What it claims is proved by `tests/conformance.rs`, which is all there is to that.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use async_trait::async_trait;
use touchfile_core::{
    Attempt, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions, Platform,
};

/// Locks `a.lock` by making the directory `a.lock.d` beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockDirectory;

/// One acquisition's worth of a [`LockDirectory`].
#[derive(Debug)]
pub struct LockDirectoryHandle {
    directory: PathBuf,
    /// The process that made the directory, while it is there: a forked child has a copy of this
    /// handle, and must not remove its parent's directory.
    held_by: Option<u32>,
}

#[async_trait]
impl LockBackend for LockDirectory {
    type Handle = LockDirectoryHandle;

    fn name(&self) -> &'static str {
        "lock-directory"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::NONE;
        capabilities.cross_process = true;
        capabilities.fork_safe = true;
        capabilities.real_files = true;
        capabilities
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<LockDirectoryHandle> {
        if *options != OpenOptions::new() {
            return Err(unsupported("it has no lock file, only a directory"));
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        if !fs::metadata(parent)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut directory = path.as_os_str().to_owned();
        directory.push(".d");
        // What the system refuses to look up, it would refuse to make.
        match fs::symlink_metadata(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(LockDirectoryHandle {
            directory: directory.into(),
            held_by: None,
        })
    }

    /// The names are paths of the operating system: relative ones start at the current directory.
    fn platform(&self) -> &'static dyn Platform {
        touchfile_file::platform()
    }
}

#[async_trait]
impl LockHandle for LockDirectoryHandle {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        if mode == LockMode::Shared {
            return Err(unsupported("a directory has one maker"));
        }
        if self.is_mine() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match fs::create_dir(&self.directory) {
            Ok(()) => {
                self.held_by = Some(process::id());
                Ok(Attempt::Acquired)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Attempt::WouldBlock),
            Err(error) => Err(error),
        }
    }

    async fn unlock(&mut self) -> io::Result<()> {
        self.release()
    }

    async fn is_current(&self, _path: &Path) -> io::Result<bool> {
        Err(unsupported(
            "there is no file whose identity could be checked",
        ))
    }
}

impl LockDirectoryHandle {
    fn is_mine(&self) -> bool {
        self.held_by == Some(process::id())
    }

    fn release(&mut self) -> io::Result<()> {
        if self.is_mine() {
            fs::remove_dir(&self.directory)?;
        }
        self.held_by = None;
        Ok(())
    }
}

impl Drop for LockDirectoryHandle {
    fn drop(&mut self) {
        // Nobody is left to be told; the next in line will see.
        self.release().ok();
    }
}

fn unsupported(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}
