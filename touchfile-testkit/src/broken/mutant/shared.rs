//! What all handles of a process share: copies of their descriptors, and handles that are never dropped.

use std::borrow::Cow;
use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use touchfile_core::{Attempt, LockHandle, LockKind, LockMode};
use touchfile_file::RawFileLock;

use super::fault::Fault;
use crate::broken::base::Flock;

/// How long a lease lasts.
const LEASE: Duration = Duration::from_millis(400);

/// A handle of a correct backend.
pub(super) type Honest = Box<dyn LockHandle>;

/// The handles that are never dropped.
static KEPT: Mutex<Vec<Honest>> = Mutex::new(Vec::new());

/// A copy of the descriptor of each handle of this process, by the file.
static COPIES: Mutex<Vec<(u64, Arc<File>)>> = Mutex::new(Vec::new());

/// Unlocks a file when its lease is over. One thread does this for all, so that threads are not a second
/// fault.
pub(super) fn lease(file: Arc<File>) {
    static LEASES: OnceLock<mpsc::Sender<(Instant, Arc<File>)>> = OnceLock::new();
    let leases = LEASES.get_or_init(|| {
        let (leases, ends) = mpsc::channel::<(Instant, Arc<File>)>();
        thread::spawn(move || {
            for (end, file) in ends {
                thread::sleep(end.saturating_duration_since(Instant::now()));
                flock(&*file, FlockOperation::Unlock).ok();
            }
        });
        leases
    });
    leases.send((Instant::now() + LEASE, file)).ok();
}

pub(super) fn kept() -> std::sync::MutexGuard<'static, Vec<Honest>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn copies() -> std::sync::MutexGuard<'static, Vec<(u64, Arc<File>)>> {
    COPIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a fault needs a copy of the descriptor of its handle.
pub(super) fn needs_copy(fault: Fault) -> bool {
    use Fault::{
        ChildReleases, Inherited, Lease, LostByAsking, LostByOpening, LostByRefusing,
        ReleasesOthers, SharesInChild,
    };
    matches!(
        fault,
        ChildReleases
            | Inherited
            | Lease
            | LostByAsking
            | LostByOpening
            | LostByRefusing
            | ReleasesOthers
            | SharesInChild
    )
}

/// flock(2) with the same queue and kernel listing as `touchfile-flock`.
#[derive(Debug)]
pub(super) struct Seen;

impl RawFileLock for Seen {
    fn try_lock(&self, file: &File, mode: LockMode) -> io::Result<Attempt> {
        Flock.try_lock(file, mode)
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        Flock.unlock(file)
    }

    fn queue_key(&self) -> Option<Cow<'static, str>> {
        Some("flock".into())
    }

    fn kernel_listing(&self) -> Option<(LockKind, Option<RangeInclusive<u64>>)> {
        Some((LockKind::Flock, None))
    }
}

pub(super) fn inode(path: &Path) -> Option<u64> {
    Some(fs::metadata(path).ok()?.ino())
}

/// The output of a future that is ready at its first poll.
pub(super) fn now<F: Future>(future: F) -> Result<F::Output, ()> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(()),
    }
}
