//! The state of a world, under one mutex.
//!
//! Each public call of the crate is one step on [`State`], made by [`Shared::with`]. A call that waits
//! repeats its step when it is polled. Wakers are called and dropped after the mutex was unlocked,
//! because they may run code that uses this world.

mod convert;
mod files;
mod inode;
mod locks;
mod processes;

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::{Capabilities, LockMode};

use self::inode::Inode;
pub(crate) use self::processes::ProcessRef;
use self::processes::{Process, ProcessId};
use crate::EventKind;
use crate::fault::{Effect, Faults};
use crate::history::History;
use crate::{Call, Claim};

#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::new()))
    }

    /// Makes one step.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let (answer, due, retired) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = step(&mut state);
            (
                answer,
                mem::take(&mut state.due),
                mem::take(&mut state.retired),
            )
        };
        due.into_iter().for_each(Waker::wake);
        drop(retired);
        answer
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct HandleId(u64);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct InodeId(u64);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) faults: Faults,
    pub(crate) history: History,
    processes: BTreeMap<Arc<str>, Process>,
    paths: BTreeMap<PathBuf, InodeId>,
    inodes: BTreeMap<InodeId, Inode>,
    handles: BTreeMap<HandleId, OpenHandle>,
    last_id: u64,
    last_token: u64,
    /// The wakers of those who wait for a loss.
    watchers: Vec<Waker>,
    /// The wakers to call and the wakers to drop after the mutex was unlocked.
    due: Vec<Waker>,
    retired: Vec<Waker>,
}

/// The state of a handle. It exists until the handle is dropped, even if its process was killed.
#[derive(Clone, Debug)]
struct OpenHandle {
    process: ProcessRef,
    alive: bool,
    path: Arc<Path>,
    inode: InodeId,
    capabilities: Capabilities,
    remove_on_release: bool,
    /// The mode that the handle seems to hold. The inode has the holders.
    held: Option<LockMode>,
    /// The number of the latest acquisition of this handle.
    token: u64,
    /// When its lock has expired.
    expired: Option<Instant>,
}

impl State {
    fn new() -> Self {
        Self {
            faults: Faults::default(),
            history: History::new(),
            processes: BTreeMap::new(),
            paths: BTreeMap::new(),
            inodes: BTreeMap::new(),
            handles: BTreeMap::new(),
            last_id: 0,
            last_token: 0,
            watchers: Vec::new(),
            due: Vec::new(),
            retired: Vec::new(),
        }
    }

    pub(crate) fn holders(&self, path: &Path) -> Vec<Claim> {
        self.file_at(path)
            .map(|inode| inode.holders().map(|h| h.claim.clone()).collect())
            .unwrap_or_default()
    }

    pub(crate) fn waiters(&self, path: &Path) -> Vec<Claim> {
        self.file_at(path)
            .map(|inode| inode.waiters().map(|w| w.claim.clone()).collect())
            .unwrap_or_default()
    }

    /// The oldest delay that matches a call.
    pub(crate) fn begin_delay(
        &mut self,
        call: Call,
        process: &ProcessRef,
        path: &Path,
    ) -> Option<Duration> {
        let by = self.faults.take_delay(call, &process.name, path)?;
        let what = EventKind::Delayed(call, by);
        self.history.record(Some(&process.name), Some(path), what);
        Some(by)
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn file_at(&self, path: &Path) -> Option<&Inode> {
        self.inodes.get(self.paths.get(path)?)
    }

    fn inode(&mut self, id: InodeId) -> &mut Inode {
        self.inodes
            .get_mut(&id)
            .expect("an inode lives while a path names it or a handle is open on it")
    }

    /// The handle, unless its process was killed.
    fn live(&self, id: HandleId) -> io::Result<OpenHandle> {
        let handle = self
            .handles
            .get(&id)
            .expect("a handle is in the table until it is dropped");
        if handle.alive {
            Ok(handle.clone())
        } else {
            Err(handle.process.killed())
        }
    }

    pub(crate) fn token(&self, id: HandleId) -> Option<u64> {
        let handle = self.handles.get(&id)?;
        let has_one = handle.held.is_some() && handle.capabilities.fencing;
        has_one.then_some(handle.token)
    }

    /// Gives an acquisition its token.
    fn new_token(&mut self, id: HandleId) {
        self.last_token += 1;
        if let Some(handle) = self.handles.get_mut(&id) {
            handle.token = self.last_token;
            handle.expired = None;
        }
    }

    fn set_held(&mut self, id: HandleId, held: Option<LockMode>) {
        if let Some(handle) = self.handles.get_mut(&id) {
            handle.held = held;
        }
    }

    fn record(&mut self, handle: &OpenHandle, what: EventKind) {
        self.history
            .record(Some(&handle.process.name), Some(&handle.path), what);
    }

    /// Meets the oldest fault that matches a call. `Ok(true)` is a refusal.
    fn strike(&mut self, call: Call, process: &ProcessRef, path: &Path) -> io::Result<bool> {
        match self.faults.take_blow(call, &process.name, path) {
            Some(Effect::Fail(failure)) => {
                let what = EventKind::Failed(call, failure);
                self.history.record(Some(&process.name), Some(path), what);
                Err(failure.into())
            }
            Some(Effect::Refuse) => Ok(true),
            Some(Effect::Delay(_)) | None => Ok(false),
        }
    }

    /// Wakes the waiters that may take the lock of this file now.
    fn wake(&mut self, id: InodeId) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            inode.wake_ready(&mut self.due);
        }
    }

    fn forget_if_unused(&mut self, id: InodeId) {
        if self.inodes.get(&id).is_some_and(|inode| !inode.is_used()) {
            self.inodes.remove(&id);
        }
    }
}
