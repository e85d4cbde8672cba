//! A handle with a fault: its attempts, releases and questions.

use std::borrow::Cow;
use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{
    Attempt, ConvertLock, LockBackend, LockHandle, LockKind, LockMode, OpenOptions,
};
use touchfile_file::{FileHandle, RawFileLock};

use super::backend::Common;
use super::convert::{Flag, flag};
use super::fault::{Claim, Fault};
use super::side_effect::Op;
use super::state::HandleState;
use crate::broken::base::Flock;

/// How long a slow call takes.
pub(super) const SLOW: Duration = Duration::from_millis(700);
/// How long after an unlock the lock is released.
const LATE: Duration = Duration::from_millis(250);
/// How long a lease lasts.
const LEASE: Duration = Duration::from_millis(400);

pub(super) type Honest = Box<dyn LockHandle>;

/// The handles that are never dropped.
static KEPT: Mutex<Vec<Honest>> = Mutex::new(Vec::new());

/// A copy of the descriptor of each handle of this process, by the file.
static COPIES: Mutex<Vec<(u64, Arc<File>)>> = Mutex::new(Vec::new());

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) common: Arc<Common>,
    pub(super) state: HandleState,
    pub(super) path: PathBuf,
    options: OpenOptions,
    /// It is there until this is dropped.
    honest: Option<Honest>,
    /// The handle on the file of the path, if the lock of another file is taken.
    face: Option<Honest>,
    /// The mode that the caller was told to hold.
    pub(super) held: Option<LockMode>,
    /// The mode that the correct handle still holds after the caller has unlocked.
    kept: Option<LockMode>,
    /// A copy of the descriptor of the correct handle.
    copy: Option<Arc<File>>,
    /// Whether this process has locked with the copy.
    locked_by_copy: bool,
    /// Whether this handle holds the flag of the exclusive lock.
    flagged: bool,
    flag: Option<Arc<Flag>>,
}

const UNTIL_DROPPED: &str = "the honest handle is there until this one is dropped";

impl Handle {
    pub(super) async fn open(
        common: &Arc<Common>,
        path: &Path,
        options: &OpenOptions,
    ) -> io::Result<Self> {
        let fault = common.mutant.fault;
        let (mut honest, copy): (Honest, _) = if needs_copy(fault) {
            let handle = FileHandle::open(Seen, path, options)?;
            let copy = handle.file().try_clone()?;
            (Box::new(handle), Some(copy))
        } else {
            (common.honest.open(path, options).await?, None)
        };
        let state = common.process.open(path);
        common.does(Op::Open, None, &state, path);
        let mut face = None;
        if common.shows(Fault::OtherLock, None, &state, path) {
            if let Some(directory) = path.parent() {
                let directory = directory.canonicalize()?;
                let other = common.honest.open(&directory, &OpenOptions::new()).await?;
                face = Some(std::mem::replace(&mut honest, other));
            }
        }
        let handle = Self {
            common: common.clone(),
            state,
            path: path.to_owned(),
            options: options.clone(),
            honest: Some(honest),
            face,
            held: None,
            kept: None,
            copy: copy.map(Arc::new),
            locked_by_copy: false,
            flagged: false,
            flag: (fault == Fault::ThreadRace)
                .then(|| flag(path))
                .transpose()?,
        };
        if handle.shows(Fault::LostByOpening, None) {
            handle.release_all();
        }
        handle.register();
        Ok(handle)
    }

    pub(super) fn honest(&mut self) -> &mut Honest {
        self.honest.as_mut().expect(UNTIL_DROPPED)
    }

    /// Whether this is the fault of the mutant and shows now, for this mode.
    pub(super) fn shows(&self, fault: Fault, mode: Option<LockMode>) -> bool {
        self.common.shows(fault, mode, &self.state, &self.path)
    }

    /// Whether the correct handle still holds the lock after the caller has unlocked.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    fn does(&self, op: Op, mode: Option<LockMode>) {
        self.common.does(op, mode, &self.state, &self.path);
    }

    /// The mode in which the correct handle is locked.
    pub(super) fn asked(&self, mode: LockMode) -> LockMode {
        match mode {
            Exclusive if self.shows(Fault::TakesShared, Some(mode)) => Shared,
            Shared if self.shows(Fault::TakesExclusive, Some(mode)) => Exclusive,
            mode => mode,
        }
    }

    /// The answer that is given without a call of the correct handle, if there is one.
    pub(super) fn refuses(&mut self, mode: LockMode) -> Option<io::Result<()>> {
        if self.common.mutant.fault == Fault::Claims(Claim::Shared) && mode == Shared {
            return Some(Err(io::ErrorKind::Unsupported.into()));
        }
        // In a child the lock is the parent's, and the correct handle decides.
        if self.held.is_some() && !self.common.process.is_child() {
            if self.shows(Fault::AsksAgain, self.held) {
                return Some(Ok(()));
            }
            if self.shows(Fault::LostByRefusing, self.held) {
                self.lose();
            }
            self.state.refused();
            return Some(Err(io::ErrorKind::InvalidInput.into()));
        }
        if self.shows(Fault::Fails, Some(mode)) {
            return Some(Err(io::Error::other("something went wrong")));
        }
        None
    }

    /// One attempt, with the correct handle unless the fault replaces it.
    pub(super) async fn attempt(&mut self, mode: LockMode, fair: bool) -> io::Result<Attempt> {
        if let Some(kept) = self.kept.take() {
            if kept == mode {
                return Ok(Attempt::Acquired);
            }
            self.honest().unlock().await?;
        }
        if self.shows(Fault::SharesInChild, Some(mode)) {
            let attempt = self
                .copy
                .as_ref()
                .map_or(Ok(Attempt::Acquired), |copy| Flock.try_lock(copy, mode))?;
            self.locked_by_copy = attempt == Attempt::Acquired;
            return Ok(attempt);
        }
        if self.shows(Fault::ThreadRace, Some(mode)) && mode == Exclusive {
            let flag = self.flag.as_ref().expect("it is opened with one");
            let attempt = flag.race()?;
            self.flagged = attempt == Attempt::Acquired;
            return Ok(attempt);
        }
        let asked = self.asked(mode);
        if fair {
            self.honest().try_lock_fair(asked).await
        } else {
            self.honest().try_lock(asked).await
        }
    }

    /// The lock was taken in this mode. A fault may change the answer or release the lock.
    pub(super) async fn granted(&mut self, mode: LockMode) -> io::Result<Attempt> {
        if self.shows(Fault::FailsHolding, Some(mode)) {
            return Err(io::Error::other("it did not work"));
        }
        if self.shows(Fault::BusyHolding, Some(mode)) {
            return Ok(Attempt::WouldBlock);
        }
        if self.shows(Fault::HoldsNothing, Some(mode)) {
            self.honest().unlock().await?;
        }
        self.is_held(mode);
        if self.shows(Fault::Lease, Some(mode)) {
            if let Some(copy) = self.copy.clone() {
                lease(copy);
            }
        }
        if self.shows(Fault::Inherited, Some(mode)) {
            if let Some(copy) = &self.copy {
                rustix::io::fcntl_setfd(&**copy, rustix::io::FdFlags::empty()).ok();
            }
        }
        Ok(Attempt::Acquired)
    }

    /// Notes that the caller is told to have the lock.
    pub(super) fn is_held(&mut self, mode: LockMode) {
        self.held = Some(mode);
        self.state.acquired();
    }

    async fn try_once(&mut self, mode: LockMode, fair: bool) -> io::Result<Attempt> {
        self.common.process.called();
        self.does(Op::Try, Some(mode));
        if let Some(answer) = self.refuses(mode) {
            return answer.map(|()| Attempt::Acquired);
        }
        if self.shows(Fault::Refuses, Some(mode)) {
            return Ok(Attempt::WouldBlock);
        }
        match self.attempt(mode, fair).await? {
            Attempt::Acquired => self.granted(mode).await,
            Attempt::WouldBlock => self.busy(mode).await,
        }
    }

    async fn busy(&mut self, mode: LockMode) -> io::Result<Attempt> {
        if self.shows(Fault::Grants, Some(mode)) {
            self.is_held(mode);
            return Ok(Attempt::Acquired);
        }
        if self.shows(Fault::TryWaits, Some(mode)) {
            tokio::time::sleep(SLOW).await;
        }
        let fails = self.shows(Fault::BusyIsAnError, Some(mode));
        self.state.found_busy();
        if fails {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Attempt::WouldBlock)
    }

    fn end_race(&mut self) {
        self.flagged = false;
        // In a child the lock is the parent's.
        if let Some(flag) = &self.flag {
            if !self.common.process.is_child() {
                flag.unlock();
            }
        }
    }

    /// Loses the lock without telling the caller.
    fn lose(&self) {
        if let Some(copy) = &self.copy {
            flock(&**copy, FlockOperation::Unlock).ok();
        }
    }

    fn register(&self) {
        if let (Some(copy), Some(inode)) = (&self.copy, inode(&self.path)) {
            copies().push((inode, copy.clone()));
        }
    }

    /// Unlocks all handles of this process on this file.
    fn release_all(&self) {
        let Some(file) = inode(&self.path) else {
            return;
        };
        for (_, copy) in copies().iter().filter(|(inode, _)| *inode == file) {
            flock(&**copy, FlockOperation::Unlock).ok();
        }
    }
}

#[async_trait]
impl LockHandle for Handle {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.try_once(mode, false).await
    }

    async fn try_lock_fair(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.try_once(mode, true).await
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        self.wait(mode).await
    }

    async fn unlock(&mut self) -> io::Result<()> {
        self.common.process.called();
        let mode = self.held;
        self.does(Op::Unlock, mode);
        let Some(mode) = self.held.take() else {
            return self.honest().unlock().await;
        };
        if self.flagged {
            self.end_race();
        }
        let shows = |fault| self.shows(fault, Some(mode));
        if shows(Fault::UnlockKeeps) {
            self.kept = Some(mode);
            return Ok(());
        }
        if shows(Fault::ReleasesLate) {
            return self.release_late();
        }
        if shows(Fault::ReleasesOthers) {
            self.release_all();
        }
        let (fails, panics) = (shows(Fault::UnlockFails), shows(Fault::UnlockPanics));
        if std::mem::take(&mut self.locked_by_copy) {
            self.lose();
        }
        self.state.let_go();
        self.honest().unlock().await?;
        assert!(!panics, "as it unlocks");
        if fails {
            return Err(io::Error::other("it did not unlock"));
        }
        Ok(())
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.common.process.called();
        self.does(Op::AskCurrent, self.held);
        if self.common.mutant.fault == Fault::Claims(Claim::Identity) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if self.shows(Fault::CurrentFails, self.held) {
            return Err(io::Error::other("nobody knows"));
        }
        if self.shows(Fault::LostByAsking, self.held) {
            self.lose();
        }
        let handle = self.face.as_ref().or(self.honest.as_ref());
        let current = handle.expect(UNTIL_DROPPED).is_current(path).await?;
        Ok(if current {
            !self.shows(Fault::NeverCurrent, self.held)
        } else {
            self.shows(Fault::AlwaysCurrent, self.held)
        })
    }

    async fn is_lost(&self) -> io::Result<bool> {
        self.common.process.called();
        self.does(Op::AskLost, self.held);
        if self.shows(Fault::LostFails, self.held) {
            return Err(io::Error::other("nobody knows"));
        }
        if self.held.is_some() && self.shows(Fault::SaysLost, self.held) {
            return Ok(true);
        }
        self.honest.as_ref().expect(UNTIL_DROPPED).is_lost().await
    }

    fn may_block(&self) -> bool {
        let handle = self.honest.as_ref();
        handle.is_some_and(|handle| handle.may_block())
    }

    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        self.honest().convertible()?;
        Some(self)
    }
}

impl Handle {
    /// Releases the lock later, in a thread, and goes on with another open file.
    fn release_late(&mut self) -> io::Result<()> {
        let mut options = self.options.clone();
        options.create = false;
        let Ok(Ok(new)) = now(self.common.honest.open(&self.path, &options)) else {
            return now(self.honest().unlock()).unwrap_or(Ok(()));
        };
        let old = std::mem::replace(self.honest(), new);
        thread::spawn(move || {
            thread::sleep(LATE);
            drop(old);
        });
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.common.process.closed();
        self.does(Op::Drop, self.held);
        let Some(honest) = self.honest.take() else {
            return;
        };
        if self.flagged {
            self.end_race();
        }
        if let Some(copy) = &self.copy {
            copies().retain(|(_, other)| !Arc::ptr_eq(copy, other));
        }
        if self.common.process.is_child() && self.shows(Fault::ChildReleases, self.held) {
            self.lose();
        }
        if self.held.is_some() && self.shows(Fault::DropKeeps, self.held) {
            kept().push(honest);
            return;
        }
        drop(honest);
        let panics = self.shows(Fault::DropPanics, self.held);
        assert!(!panics || thread::panicking(), "as it is dropped");
    }
}

/// Unlocks a file when its lease is over. One thread does this for all, so that threads are not a second
/// fault.
fn lease(file: Arc<File>) {
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

fn copies() -> std::sync::MutexGuard<'static, Vec<(u64, Arc<File>)>> {
    COPIES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn needs_copy(fault: Fault) -> bool {
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
struct Seen;

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

fn inode(path: &Path) -> Option<u64> {
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
