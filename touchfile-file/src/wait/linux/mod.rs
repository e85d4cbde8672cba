//! What Linux offers to those who wait.

mod driver;
mod file_events;
mod holder_probe;
mod interrupt;
mod kernel_wait;
mod notice;
mod queue;
mod registry;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use touchfile_core::LockMode;

use self::file_events::FileWatch;
use self::holder_probe::Probe;
#[cfg(feature = "fuzzing")]
pub(crate) use self::holder_probe::is_marked;
use self::kernel_wait::WaitingThread;
use self::notice::Notice;
use self::queue::Queue;
#[cfg(feature = "fuzzing")]
pub(crate) use self::queue::take_message;
use super::system::{FileEvents, HolderProbe, Joined, KernelWait, Place, System};
use super::{Lock, QueuePlace, Target, is_without};
use crate::{BlockingLock, Symlinks};

/// Linux.
#[derive(Debug)]
pub(crate) struct Linux;

impl System for Linux {
    fn open_flags(&self) -> OFlags {
        holder_probe::MARK
    }

    fn notify_waiters(&self, target: &Target<'_>) {
        file_events::notify_waiters(target);
    }

    fn watch(&self, path: &Path, symlinks: Symlinks) -> Option<Box<dyn FileEvents>> {
        if is_without("events") {
            return None;
        }
        Some(Box::new(FileWatch::start(path, symlinks)?))
    }

    fn enter_queue(&self, key: &str) -> Place {
        if is_without("queue") {
            return Place::Head(None);
        }
        Queue::named(key).map_or(Place::Head(None), |queue| queue.enter())
    }

    fn join_queue(&self, key: &str) -> Joined {
        if is_without("queue") {
            return Joined::Nobody;
        }
        Queue::named(key).map_or(Joined::Nobody, |queue| queue.join())
    }

    fn queue_place(&self, keys: &[String]) -> QueuePlace {
        if is_without("queue") {
            return QueuePlace::None;
        }
        queue::place(keys)
    }

    fn announce(&self, lock: &Lock, file: &File) -> Option<Box<dyn fmt::Debug + Send + Sync>> {
        if is_without("notice") {
            return None;
        }
        Some(Box::new(Notice::leave(lock, file)?))
    }

    fn lists_no_lock(&self, file: &File) -> bool {
        !is_without("list") && crate::holders::lists_none(file)
    }

    fn probe(&self, wanted: Lock) -> Option<Box<dyn HolderProbe>> {
        if is_without("probe") {
            return None;
        }
        Some(Box::new(Probe::new(wanted)))
    }

    fn wait_in_kernel(
        &self,
        lock: Arc<dyn BlockingLock>,
        mode: LockMode,
        open: &mut dyn FnMut() -> Option<File>,
    ) -> Option<Box<dyn KernelWait>> {
        if is_without("kernel") {
            return None;
        }
        Some(Box::new(WaitingThread::start(lock, mode, open)?))
    }
}
