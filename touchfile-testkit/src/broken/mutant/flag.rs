//! Exclusive locks that are only a flag.

use std::collections::HashMap;
use std::fs::File;
use std::hint::spin_loop;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use touchfile_core::Attempt;
use touchfile_core::LockMode::Exclusive;
use touchfile_file::RawFileLock;

use crate::broken::base::Flock;

/// The exclusive lock of a file among the handles of this process, and the open file that locks it
/// against other processes.
#[derive(Debug)]
pub(super) struct Flag {
    taken: AtomicBool,
    file: File,
}

static FLAGS: Mutex<Option<HashMap<u64, Arc<Flag>>>> = Mutex::new(None);

/// The flag of the file at this path.
pub(super) fn flag(path: &Path) -> io::Result<Arc<Flag>> {
    let file = File::open(path)?;
    let inode = file.metadata()?.ino();
    let mut flags = FLAGS.lock().unwrap_or_else(PoisonError::into_inner);
    let flag = flags
        .get_or_insert_default()
        .entry(inode)
        .or_insert_with(|| {
            Arc::new(Flag {
                taken: AtomicBool::new(false),
                file,
            })
        });
    Ok(flag.clone())
}

impl Flag {
    /// An attempt at the exclusive lock, which two threads can make with success at the same time.
    pub(super) fn race(&self) -> io::Result<Attempt> {
        if self.taken.load(Ordering::Acquire) {
            return Ok(Attempt::WouldBlock);
        }
        for _ in 0..20 {
            spin_loop();
        }
        self.taken.store(true, Ordering::Release);
        let attempt = Flock.try_lock(&self.file, Exclusive)?;
        if attempt == Attempt::WouldBlock {
            self.taken.store(false, Ordering::Release);
        }
        Ok(attempt)
    }

    pub(super) fn unlock(&self) {
        flock(&self.file, FlockOperation::Unlock).ok();
        self.taken.store(false, Ordering::Release);
    }
}
