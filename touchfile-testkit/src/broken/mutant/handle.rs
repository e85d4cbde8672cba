//! A handle with a fault: how it is opened, its releases and questions.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use tokio::time::Instant;
use touchfile_core::{Attempt, ConvertLock, LockBackend, LockHandle, LockMode, OpenOptions};
use touchfile_file::FileHandle;

use super::common::Common;
use super::fault::{Claim, Fault};
use super::flag::{Flag, flag};
use super::shared::{Honest, Seen, copies, inode, kept, needs_copy, now};
use super::side_effect::Op;
use super::state::HandleState;

/// How long after an unlock the lock is released.
const LATE: Duration = Duration::from_millis(250);

/// How long a slow call takes.
pub(super) const SLOW: Duration = Duration::from_millis(700);

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) common: Arc<Common>,
    pub(super) state: HandleState,
    pub(super) path: PathBuf,
    pub(super) options: OpenOptions,
    /// It is there until this is dropped.
    honest: Option<Honest>,
    /// The handle on the file of the path, if the lock of another file is taken.
    face: Option<Honest>,
    /// The mode that the caller was told to hold.
    pub(super) held: Option<LockMode>,
    /// The mode that the correct handle still holds after the caller has unlocked.
    pub(super) kept: Option<LockMode>,
    /// A copy of the descriptor of the correct handle.
    pub(super) copy: Option<Arc<File>>,
    /// Whether this process has locked with the copy.
    pub(super) locked_by_copy: bool,
    /// Whether this handle holds the flag of the exclusive lock.
    pub(super) flagged: bool,
    pub(super) flag: Option<Arc<Flag>>,
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

    pub(super) fn does(&self, op: Op, mode: Option<LockMode>) {
        self.common.does(op, mode, &self.state, &self.path);
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

    pub(super) fn register(&self) {
        if let (Some(copy), Some(inode)) = (&self.copy, inode(&self.path)) {
            copies().push((inode, copy.clone()));
        }
    }

    /// Loses the lock without telling the caller.
    pub(super) fn lose(&self) {
        if let Some(copy) = &self.copy {
            flock(&**copy, FlockOperation::Unlock).ok();
        }
    }

    /// Unlocks all handles of this process on this file.
    pub(super) fn release_all(&self) {
        let Some(file) = inode(&self.path) else {
            return;
        };
        for (_, copy) in copies().iter().filter(|(inode, _)| *inode == file) {
            flock(&**copy, FlockOperation::Unlock).ok();
        }
    }

    /// Releases the lock later, in a thread, and goes on with another open file.
    pub(super) fn release_late(&mut self) -> io::Result<()> {
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

    fn valid_until(&self) -> Option<Instant> {
        self.honest.as_ref().expect(UNTIL_DROPPED).valid_until()
    }

    fn token(&self) -> Option<u64> {
        self.honest.as_ref().expect(UNTIL_DROPPED).token()
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
