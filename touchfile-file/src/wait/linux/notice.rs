//! Notices that this process leaves of its waits.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use crate::wait::Lock;
use crate::wait_notice::{MOST, WaitNotice};

/// The descriptor of a notice. The wait has ended when this is dropped.
#[derive(Debug)]
pub(super) struct Notice {
    _memory: File,
}

static OPEN: AtomicUsize = AtomicUsize::new(0);

impl Notice {
    /// Lets others see that this process waits for `lock` on `file`. `None` if that cannot be done.
    pub(super) fn leave(lock: &Lock, file: &File) -> Option<Self> {
        let counted = OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < MOST).then_some(open + 1)
        });
        counted.ok()?;
        let made = Self::make(lock, file);
        if made.is_none() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        made
    }

    fn make(lock: &Lock, file: &File) -> Option<Self> {
        let notice = WaitNotice {
            kind: lock.kind,
            mode: lock.mode,
            range: lock.range.clone(),
            descriptor: u32::try_from(file.as_raw_fd()).ok()?,
            pid: std::process::id(),
        };
        let name = notice.name();
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL;
        let made = memfd_create(&name, flags).or_else(|error| match error {
            // Linux before 6.3 does not know the flag.
            Errno::INVAL => memfd_create(&name, MemfdFlags::CLOEXEC),
            error => Err(error),
        });
        Some(Self {
            _memory: made.ok()?.into(),
        })
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
