//! Starting, stopping and killing processes.

use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::{HandleId, InodeId, State};
use crate::EventKind;

/// The number of a process, which differs from later processes of the same name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ProcessId(u64);

/// One process with a name. A killed process can be followed by another of the same name.
#[derive(Clone, Debug)]
pub(crate) struct ProcessRef {
    pub(crate) name: Arc<str>,
    pub(crate) id: ProcessId,
}

impl ProcessRef {
    /// The error of every call of a killed process.
    pub(crate) fn killed(&self) -> io::Error {
        io::Error::other(format!("process {} was killed", self.name))
    }
}

/// A process that runs or is stopped. A killed process has none.
#[derive(Debug)]
pub(super) struct Process {
    id: ProcessId,
    stopped: bool,
    /// The wakers of the calls that continue with the process.
    paused: Vec<Waker>,
}

impl Process {
    pub(super) fn id(&self) -> ProcessId {
        self.id
    }
}

impl State {
    /// The process of this name. It is started if there is none.
    pub(crate) fn process(&mut self, name: &str) -> ProcessRef {
        if let Some((name, process)) = self.processes.get_key_value(name) {
            return ProcessRef {
                name: Arc::clone(name),
                id: process.id,
            };
        }
        let started = ProcessRef {
            name: name.into(),
            id: ProcessId(self.fresh_id()),
        };
        let process = Process {
            id: started.id,
            stopped: false,
            paused: Vec::new(),
        };
        self.processes.insert(Arc::clone(&started.name), process);
        self.history.record(Some(name), None, EventKind::Started);
        started
    }

    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.processes.get(name).is_some_and(|p| !p.stopped)
    }

    pub(crate) fn open_handles(&self, name: &str) -> usize {
        let ours = |p: &ProcessRef| &*p.name == name;
        self.handles
            .values()
            .filter(|handle| handle.alive && ours(&handle.process))
            .count()
    }

    /// Ready while the process runs, pending while it is stopped, and an error after it was killed.
    pub(crate) fn poll_running(
        &mut self,
        process: &ProcessRef,
        waker: &Waker,
    ) -> Poll<io::Result<()>> {
        match self.processes.get_mut(&process.name) {
            Some(found) if found.id == process.id => {
                if !found.stopped {
                    return Poll::Ready(Ok(()));
                }
                if !found.paused.iter().any(|paused| paused.will_wake(waker)) {
                    found.paused.push(waker.clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(Err(process.killed())),
        }
    }

    pub(crate) fn stop(&mut self, name: &str) -> bool {
        self.set_stopped(name, true)
    }

    pub(crate) fn resume(&mut self, name: &str) -> bool {
        self.set_stopped(name, false)
    }

    /// Kills the process: its calls fail, its waits end, and its locks are released, unless its backend
    /// does not claim `crash_release`.
    pub(crate) fn kill(&mut self, name: &str) -> bool {
        let Some(process) = self.processes.remove(name) else {
            return false;
        };
        self.due.extend(process.paused);
        self.due.append(&mut self.watchers);
        self.history.record(Some(name), None, EventKind::Killed);
        for id in self.handles_of(process.id) {
            let handle = self.handles[&id].clone();
            if let Some(waiter) = self.inode(handle.inode).waiter_mut(id) {
                let waker = waiter.waker.take();
                self.due.extend(waker);
            }
            self.end_wait(id);
            if handle.capabilities.crash_release {
                self.let_go(id, &handle);
            }
            if let Some(handle) = self.handles.get_mut(&id) {
                handle.alive = false;
            }
            self.inode(handle.inode).open -= 1;
            self.forget_if_unused(handle.inode);
        }
        true
    }

    pub(super) fn is_stopped(&self, process: &ProcessRef) -> bool {
        self.processes
            .get(&process.name)
            .is_some_and(|found| found.id == process.id && found.stopped)
    }

    pub(super) fn handles_of(&self, process: ProcessId) -> Vec<HandleId> {
        self.handles
            .iter()
            .filter(|(_, handle)| handle.alive && handle.process.id == process)
            .map(|(id, _)| *id)
            .collect()
    }

    fn set_stopped(&mut self, name: &str, stopped: bool) -> bool {
        let Some(process) = self.processes.get_mut(name) else {
            return false;
        };
        if process.stopped == stopped {
            return true;
        }
        process.stopped = stopped;
        self.due.append(&mut process.paused);
        let id = process.id;
        let what = if stopped {
            EventKind::Stopped
        } else {
            EventKind::Resumed
        };
        self.history.record(Some(name), None, what);
        let inodes: Vec<InodeId> = self.inodes.keys().copied().collect();
        for inode in inodes {
            self.inode(inode).set_stopped(id, stopped);
            self.wake(inode);
        }
        true
    }
}
