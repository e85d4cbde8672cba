//! Conversions with a fault, and exclusive locks that are only a flag.

use std::collections::HashMap;
use std::fs::File;
use std::hint::spin_loop;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, ConvertLock, LockHandle};
use touchfile_file::RawFileLock;

use super::fault::Fault;
use super::handle::{Handle, SLOW};
use crate::broken::base::Flock;

#[async_trait]
impl ConvertLock for Handle {
    async fn downgrade(&mut self) -> io::Result<()> {
        if self.begins()? {
            return Ok(());
        }
        if self.held == Some(Exclusive) {
            if self.shows(Fault::DowngradeKeeps, None) {
                self.held = Some(Shared);
                return Ok(());
            }
            if self.shows(Fault::DowngradeGap, None) {
                self.honest().unlock().await?;
                thread::sleep(Duration::from_micros(300));
                self.honest().lock(Shared).await?;
                self.held = Some(Shared);
                return Ok(());
            }
        }
        self.converted()?.downgrade().await?;
        self.held = self.held.map(|_| Shared);
        if self.held.is_some() && self.shows(Fault::DowngradeLoses, None) {
            self.honest().unlock().await?;
        }
        Ok(())
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        if self.begins()? {
            return Ok(Attempt::Acquired);
        }
        if self.held == Some(Shared) {
            if self.shows(Fault::UpgradeRefuses, None) {
                return Ok(Attempt::WouldBlock);
            }
            if self.shows(Fault::UpgradeFails, None) {
                return Err(io::Error::other("something went wrong"));
            }
            if self.shows(Fault::UpgradeStaysShared, None) {
                // The fault shows only if the upgrade would have succeeded.
                let attempt = self.converted()?.try_upgrade().await?;
                if attempt == Attempt::Acquired {
                    self.converted()?.downgrade().await?;
                    self.held = Some(Exclusive);
                }
                return Ok(attempt);
            }
        }
        match self.converted()?.try_upgrade().await? {
            Attempt::Acquired => {
                self.held = self.held.map(|_| Exclusive);
                Ok(Attempt::Acquired)
            }
            Attempt::WouldBlock => self.upgrade_is_busy().await,
        }
    }
}

impl Handle {
    /// Refuses a conversion if nothing is held. Returns true if the fault is not to refuse it.
    fn begins(&mut self) -> io::Result<bool> {
        self.common.process.called();
        self.state.converts();
        if self.held.is_some() {
            return Ok(false);
        }
        if self.shows(Fault::ConvertsNothing, None) {
            return Ok(true);
        }
        Err(io::ErrorKind::InvalidInput.into())
    }

    fn converted(&mut self) -> io::Result<&mut dyn ConvertLock> {
        let convertible = self.honest().convertible();
        convertible.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    async fn upgrade_is_busy(&mut self) -> io::Result<Attempt> {
        if self.shows(Fault::UpgradeGrants, None) {
            self.held = Some(Exclusive);
            return Ok(Attempt::Acquired);
        }
        if self.shows(Fault::UpgradeLoses, None) {
            self.honest().unlock().await?;
        }
        if self.shows(Fault::UpgradeWaits, None) {
            tokio::time::sleep(SLOW).await;
        }
        Ok(Attempt::WouldBlock)
    }
}

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
