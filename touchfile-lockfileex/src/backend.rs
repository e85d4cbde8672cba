//! The backend, over the two calls.

use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use touchfile_core::{
    Attempt, Capabilities, Guarantee, LockBackend, LockMode, OpenFile, OpenOptions, Platform,
};
use touchfile_file::{Access, FileHandle, FileSystem, RawFileLock};

use crate::call;

/// No file is as long as this, and as a signed number it is positive still.
const FAR_BYTE: RangeInclusive<u64> = (1 << 62)..=(1 << 62);

/// `FILE_FLAG_BACKUP_SEMANTICS` of CreateFileW: a directory is opened, too.
const BACKUP_SEMANTICS: u32 = 0x0200_0000;

/// What std's `File::lock` and fs4 lock: the longest range there is, from the beginning.
const WHOLE_FILE: RangeInclusive<u64> = 0..=u64::MAX - 1;

/// Locks with LockFileEx.
///
/// # Whom it excludes
///
/// The locks of Windows are mandatory: nobody but the holder's handle reads or writes a byte that is
/// locked exclusively. So this locks a byte that no file has, at 2^62, and leaves the content of the lock
/// file to everybody, as on Unix. Two locks exclude each other if they have a byte in common:
///
/// | program | locks | with [`new`](Self::new) | with [`whole_file`](Self::whole_file) |
/// |---|---|---|---|
/// | touchfile, either way | | excluded | excluded |
/// | std's `File::lock`, fs4, cargo, uv, Go's `lockedfile` | all bytes | excluded | excluded |
/// | fd-lock, gofrs/flock, Python's filelock | the first byte | **not excluded** | excluded |
/// | others that read or write the file | | not stopped | stopped while it is locked |
///
/// # Waiting
///
/// A wait tries the lock every 8 ms, each process at times of its own. It needs no thread. Under Wine, half
/// of 300 waits were late by less than 5.4 ms and 99 % by less than 16 ms. The clock of Windows may make
/// 16 ms of 8 unless a program asks for a finer one, which was not measured. There is no queue: a waiter
/// may be overtaken.
///
/// # The end of a process
///
/// A process that ends, however it does, loses its locks; Windows frees them "depending upon available
/// system resources" (LockFileEx), so that they may be found held for a moment longer. A lock that is
/// unlocked or dropped is free at once.
///
/// # Errors
///
/// Besides what all backends return, opening a directory is [`io::ErrorKind::IsADirectory`], and
/// [`create_mode`](OpenOptions::create_mode) is [`io::ErrorKind::Unsupported`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct LockFileExBackend {
    whole_file: bool,
}

impl LockFileExBackend {
    /// A backend that leaves the content of the lock file to everybody; it has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self { whole_file: false }
    }

    /// A backend that locks every byte of the file, to exclude programs that lock the first one only.
    ///
    /// While the lock is held exclusively, others cannot read the file, nor write to it.
    #[must_use]
    pub const fn whole_file() -> Self {
        Self { whole_file: true }
    }
}

#[async_trait]
impl LockBackend for LockFileExBackend {
    type Handle = LockFileExHandle;

    fn name(&self) -> &'static str {
        "lockfileex"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FILES;
        capabilities.exclusive_read_only = true;
        // "The time it takes for the operating system to unlock these locks depends upon available system
        // resources" (LockFileEx).
        capabilities.death_lag = Duration::from_secs(2);
        capabilities
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<LockFileExHandle> {
        let raw = LockFileEx {
            whole_file: self.whole_file,
        };
        FileHandle::open_unleased(raw, path, options).await
    }

    fn adopt(&self, file: &OpenFile) -> io::Result<LockFileExHandle> {
        let raw = LockFileEx {
            whole_file: self.whole_file,
        };
        FileHandle::adopt(raw, file)
    }

    /// By the file at `path`, or if there is none, by its directory.
    fn guarantee(&self, path: &Path) -> io::Result<Guarantee> {
        let open = |path: &Path| {
            let mut to_ask = fs::OpenOptions::new();
            to_ask.access_mode(0).custom_flags(BACKUP_SEMANTICS);
            to_ask.open(path)
        };
        let file = match (open(path), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                let is_here = parent.as_os_str().is_empty();
                open(if is_here { Path::new(".") } else { parent })?
            }
            (opened, _) => opened?,
        };
        Ok(guarantee(&file))
    }

    fn platform(&self) -> &'static dyn Platform {
        touchfile_file::platform()
    }
}

/// A file open for LockFileEx.
pub type LockFileExHandle = FileHandle<LockFileEx>;

/// LockFileEx and UnlockFileEx, of the bytes that the backend has chosen.
#[derive(Debug, Default)]
pub struct LockFileEx {
    whole_file: bool,
}

impl LockFileEx {
    fn bytes(&self) -> &'static RangeInclusive<u64> {
        if self.whole_file {
            &WHOLE_FILE
        } else {
            &FAR_BYTE
        }
    }
}

impl RawFileLock for LockFileEx {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        call::try_lock(file, mode, self.bytes())
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        call::unlock(file, self.bytes())
    }

    fn guarantee(&self, file: &File) -> io::Result<Guarantee> {
        Ok(guarantee(file))
    }

    /// A handle that reads is enough for either mode (LockFileEx: "GENERIC_READ or GENERIC_WRITE").
    fn access(&self, _: FileSystem) -> Access {
        Access::Read
    }
}

/// Locks on a network share are its server's (MS-SMB2, 3.3.5.14).
fn guarantee(file: &File) -> Guarantee {
    match call::is_remote(file) {
        Some(true) => Guarantee::CrossHost,
        Some(false) => Guarantee::HostLocal,
        None => Guarantee::Unknown,
    }
}
