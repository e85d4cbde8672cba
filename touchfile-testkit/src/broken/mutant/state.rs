//! What has happened so far in a process and to a handle.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use tokio::runtime;

/// What has happened in a process.
#[derive(Debug)]
pub(super) struct ProcessState {
    /// The process that made the backend.
    pid: u32,
    /// The thread and the runtime of the first call.
    thread: OnceLock<ThreadId>,
    runtime: OnceLock<runtime::Id>,
    opened: AtomicU64,
    handles: AtomicU64,
    paths: Mutex<Vec<PathBuf>>,
    /// A file without a name that all children of this process have open. Its length is the number of
    /// children that have used a handle.
    children: Option<File>,
    /// In a child: the id of this process, and its number among the children.
    child: Mutex<(u32, u64)>,
}

impl ProcessState {
    /// With `counts_children` it needs a descriptor.
    pub(super) fn new(counts_children: bool) -> Self {
        Self {
            pid: process::id(),
            thread: OnceLock::new(),
            runtime: OnceLock::new(),
            opened: AtomicU64::new(0),
            handles: AtomicU64::new(0),
            paths: Mutex::new(Vec::new()),
            children: counts_children.then(|| tempfile::tempfile().ok()).flatten(),
            child: Mutex::new((0, 0)),
        }
    }

    /// Notes the beginning of a call that a runtime drives.
    pub(super) fn called(&self) {
        self.thread.get_or_init(|| thread::current().id());
        if let Ok(current) = runtime::Handle::try_current() {
            self.runtime.get_or_init(|| current.id());
        }
    }

    /// The state of a new handle.
    pub(super) fn open(&self, path: &Path) -> HandleState {
        self.handles.fetch_add(1, Ordering::Relaxed);
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let known = paths.iter().position(|known| known == path);
        let number = known.unwrap_or_else(|| {
            paths.push(path.to_owned());
            paths.len() - 1
        });
        HandleState {
            handle: self.opened.fetch_add(1, Ordering::Relaxed),
            path: number,
            ..HandleState::default()
        }
    }

    pub(super) fn closed(&self) {
        self.handles.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn handles(&self) -> u64 {
        self.handles.load(Ordering::Relaxed)
    }

    pub(super) fn is_child(&self) -> bool {
        self.pid != process::id()
    }

    /// Whether this is a forked child other than the first that used a handle.
    pub(super) fn is_later_child(&self) -> bool {
        let (true, Some(mut children)) = (self.is_child(), self.children.as_ref()) else {
            return false;
        };
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if child.0 != process::id() {
            // All children share the offset, which is the number of children that have written.
            children.write_all(b".").ok();
            *child = (process::id(), children.stream_position().unwrap_or(0));
        }
        child.1 > 1
    }

    pub(super) fn is_other_thread(&self) -> bool {
        let first = self.thread.get();
        first.is_some_and(|first| *first != thread::current().id())
    }

    pub(super) fn is_other_runtime(&self) -> bool {
        let current = runtime::Handle::try_current();
        match (self.runtime.get(), current) {
            (Some(first), Ok(current)) => *first != current.id(),
            _ => false,
        }
    }
}

/// What has happened to a handle. The futures of its calls share it.
#[derive(Clone, Debug, Default)]
pub(super) struct HandleState {
    /// The numbers of the handle and of its path in the process.
    pub(super) handle: u64,
    pub(super) path: usize,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    locks: AtomicU64,
    failed_tries: AtomicU32,
    waited: AtomicBool,
    gave_up: AtomicBool,
    refused: AtomicBool,
    converted: AtomicU32,
}

impl HandleState {
    pub(super) fn acquired(&self) {
        self.seen.locks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn locks(&self) -> u64 {
        self.seen.locks.load(Ordering::Relaxed)
    }

    pub(super) fn found_busy(&self) {
        self.seen.failed_tries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn let_go(&self) {
        self.seen.failed_tries.store(0, Ordering::Relaxed);
    }

    pub(super) fn has_failed_try(&self) -> bool {
        self.seen.failed_tries.load(Ordering::Relaxed) > 0
    }

    pub(super) fn waits(&self) {
        self.seen.waited.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_waited(&self) -> bool {
        self.seen.waited.load(Ordering::Relaxed)
    }

    pub(super) fn gives_up(&self) {
        self.seen.gave_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.seen.gave_up.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) {
        self.seen.refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_been_refused(&self) -> bool {
        self.seen.refused.load(Ordering::Relaxed)
    }

    pub(super) fn converts(&self) {
        self.seen.converted.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there was a conversion before the one under way.
    pub(super) fn has_converted(&self) -> bool {
        self.seen.converted.load(Ordering::Relaxed) > 1
    }
}
