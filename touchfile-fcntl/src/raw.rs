//! The calls of fcntl(2).

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use touchfile_core::{Attempt, ConvertLock, LockKind, LockMode, OpenOptions};
use touchfile_file::{BlockingLock, FileHandle, RawFileConvert, RawFileLock};

use crate::range::Range;

/// Without such locks it is raw/system.rs; as on these architectures, where libc's `struct flock` has
/// fields that nobody else can name.
#[cfg_attr(
    all(
        any(target_os = "linux", target_os = "android"),
        not(any(
            target_arch = "mips",
            target_arch = "mips32r6",
            target_arch = "mips64",
            target_arch = "mips64r6",
            target_arch = "sparc",
            target_arch = "sparc64"
        ))
    ),
    path = "raw/ofd.rs"
)]
mod system;

/// `F_OFD_SETLK` of fcntl(2); by default on whole files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fcntl {
    range: Range,
}

impl Fcntl {
    pub(crate) const fn on(range: Range) -> Self {
        Self { range }
    }
}

impl RawFileLock for Fcntl {
    #[inline]
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        match system::attempt(file, self.range, mode) {
            Ok(()) => Ok(Attempt::Acquired),
            // Which of the two is left open (fcntl(2), F_SETLK).
            Err(error) if is(&error, &[nix::libc::EACCES, nix::libc::EAGAIN]) => {
                Ok(Attempt::WouldBlock)
            }
            Err(error) if is(&error, &[nix::libc::EBADF]) => Err(not_opened_for(mode)),
            Err(error) if is(&error, &[nix::libc::EINVAL]) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system, or the file system, has no open-file-description locks (EINVAL)",
            )),
            Err(error) => Err(error),
        }
    }

    #[inline]
    fn unlock(&self, file: &File) -> io::Result<()> {
        system::unlock(file, self.range)
    }

    fn queue_key(&self) -> Option<Cow<'static, str>> {
        Some(if self.range == Range::WHOLE {
            "fcntl".into()
        } else {
            format!("fcntl {}+{}", self.range.start, self.range.len).into()
        })
    }

    fn kernel_listing(&self) -> Option<(LockKind, Option<RangeInclusive<u64>>)> {
        Some((LockKind::Ofd, self.range.listed()))
    }

    fn blocking(&self) -> Option<Arc<dyn BlockingLock>> {
        Some(Arc::new(*self))
    }

    /// Refuses at once what could only fail at each release.
    fn on_open(&mut self, file: &File, options: &OpenOptions) -> io::Result<()> {
        if options.remove_on_release && !may_write(file)? {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("it may be removed by an exclusive holder only: {NOT_WRITABLE}"),
            ));
        }
        Ok(())
    }

    fn convertible(handle: &mut FileHandle<Self>) -> Option<&mut dyn ConvertLock> {
        Some(handle)
    }
}

impl BlockingLock for Fcntl {
    fn lock(&self, file: &File, mode: LockMode) -> io::Result<()> {
        system::wait(file, self.range, mode)
    }

    fn release(&self, file: &File) -> io::Result<()> {
        self.unlock(file)
    }
}

/// A lock that the same description has on the same bytes is replaced by the new one, or stays if
/// that cannot be had.
impl RawFileConvert for Fcntl {
    fn try_convert(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        self.try_lock(file, mode)
    }
}

const NOT_WRITABLE: &str = "an exclusive fcntl(2) lock needs a file that can be opened for \
                            writing, which this one cannot; flock(2), the flock backend, does not \
                            on local file systems";

/// EBADF is about the mode in which the file is open: the descriptor itself is sound.
fn not_opened_for(mode: LockMode) -> io::Error {
    let what = match mode {
        LockMode::Exclusive => NOT_WRITABLE,
        LockMode::Shared => {
            "a shared fcntl(2) lock needs a file that can be opened for reading, which this one cannot"
        }
    };
    io::Error::new(io::ErrorKind::Unsupported, what)
}

fn may_write(file: &File) -> io::Result<bool> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    Ok(flags & OFlag::O_ACCMODE != OFlag::O_RDONLY)
}

fn is(error: &io::Error, codes: &[i32]) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}
