//! The model: what a correct backend may answer in every state. It uses no processes.
//!
//! A handle surely holds the lock after the answer "acquired", until it is released. A waiter possibly
//! holds it, because it may have been granted the lock since its last poll. An attempt must be busy if
//! a conflicting handle surely holds the lock, and must succeed if no conflicting handle possibly holds
//! it. Otherwise both answers are right.

mod blame;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use touchfile_core::{Capabilities, LockMode};

pub(crate) use self::blame::{Blame, Busy, WrongAnswer};
use self::blame::{Ended, Event};
pub(crate) use self::judge::unexpected;
use super::step::{FILES, HandleId};

/// A file, which may have several names or none.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Inode(u32);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Held(LockMode),
    Idle,
    Waiting(LockMode),
}

#[derive(Clone, Copy, Debug)]
struct Handle {
    inode: Inode,
    state: State,
    /// Whether a forked child has dropped its copy since the lock was taken.
    child_dropped: bool,
    /// Whether a child lives on that has or had copies of the descriptors.
    child_lives: bool,
    /// How its latest lock, attempt or wait ended, if it holds nothing.
    ended: Option<Ended>,
}

/// What an attempt must come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    Acquired,
    Busy,
    Either,
    Refused(ErrorKind),
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    claims: Capabilities,
    files: [Option<Inode>; FILES as usize],
    inodes: u32,
    handles: BTreeMap<HandleId, Handle>,
    stopped: BTreeSet<u8>,
    events: BTreeMap<Inode, Vec<Event>>,
}

impl Model {
    pub(crate) fn new(claims: Capabilities) -> Self {
        Self {
            claims,
            files: [None; FILES as usize],
            inodes: 0,
            handles: BTreeMap::new(),
            stopped: BTreeSet::new(),
            events: BTreeMap::new(),
        }
    }

    pub(crate) fn state(&self, id: HandleId) -> Option<State> {
        self.handles.get(&id).map(|handle| handle.state)
    }

    pub(crate) fn is_stopped(&self, process: u8) -> bool {
        self.stopped.contains(&process)
    }

    pub(crate) fn stopped(&self) -> Vec<u8> {
        self.stopped.iter().copied().collect()
    }

    pub(crate) fn names_a_file(&self, file: u8) -> bool {
        self.files[usize::from(file)].is_some()
    }

    /// All open handles.
    pub(crate) fn handles(&self) -> Vec<HandleId> {
        self.handles.keys().copied().collect()
    }

    /// The number of a path of this file, if it has one.
    pub(crate) fn file_of(&self, inode: Inode) -> Option<u8> {
        (0..FILES).find(|&file| self.files[usize::from(file)] == Some(inode))
    }

    pub(crate) fn inode_at(&self, file: u8) -> Option<Inode> {
        self.files[usize::from(file)]
    }

    pub(crate) fn inode_of(&self, id: HandleId) -> Option<Inode> {
        self.handles.get(&id).map(|handle| handle.inode)
    }

    pub(crate) fn opened(&mut self, id: HandleId) {
        let file = usize::from(id.file());
        let inode = match self.files[file] {
            Some(inode) => inode,
            None => {
                let new = self.new_inode();
                self.files[file] = Some(new);
                new
            }
        };
        let handle = Handle {
            inode,
            state: State::Idle,
            child_dropped: false,
            child_lives: false,
            ended: None,
        };
        self.handles.insert(id, handle);
    }

    /// What an attempt must come to, or a wait that is polled to its end.
    pub(crate) fn expect(&self, id: HandleId, mode: LockMode) -> Expected {
        if mode == LockMode::Shared && !self.claims.shared {
            return Expected::Refused(ErrorKind::Unsupported);
        }
        if matches!(self.state(id), Some(State::Held(_))) {
            return Expected::Refused(ErrorKind::InvalidInput);
        }
        let (mut sure, mut maybe) = (false, false);
        for state in self.others(id) {
            match state {
                State::Held(held) => sure |= held.conflicts_with(mode),
                State::Waiting(wanted) => maybe |= wanted.conflicts_with(mode),
                State::Idle => {}
            }
        }
        match (sure, maybe) {
            (true, _) => Expected::Busy,
            (false, true) => Expected::Either,
            (false, false) => Expected::Acquired,
        }
    }

    /// Whether a request of this handle must be refused with an error.
    pub(crate) fn must_refuse(&self, id: HandleId, mode: LockMode) -> bool {
        matches!(self.expect(id, mode), Expected::Refused(_))
    }

    /// The waiters one of which must be granted the lock, if this wait and the others on the file are
    /// polled long enough. Empty if none must be granted it.
    pub(crate) fn must_be_granted(&self, id: HandleId) -> Vec<HandleId> {
        let (Some(State::Waiting(mode)), Some(inode)) = (self.state(id), self.inode_of(id)) else {
            return Vec::new();
        };
        let waiting: Vec<_> = self
            .handles
            .iter()
            .filter(|(_, handle)| handle.inode == inode)
            .filter_map(|(&id, handle)| match handle.state {
                State::Waiting(mode) => Some((id, mode)),
                _ => None,
            })
            .collect();
        let can_go = |&(id, mode): &(HandleId, LockMode)| {
            self.expect(id, mode) != Expected::Busy && !self.is_stopped(id.process)
        };
        if !can_go(&(id, mode)) {
            return Vec::new();
        }
        // All waiters may be in one queue, in any order, and only its head may check the lock. A
        // waiter that cannot get the lock may block the others.
        if waiting.iter().all(can_go) {
            waiting.into_iter().map(|(id, _)| id).collect()
        } else {
            Vec::new()
        }
    }

    /// The future of a wait was dropped. The lock may have been granted just before.
    pub(crate) fn cancelled(&mut self, id: HandleId) {
        self.remember(id, Event::Cancelled);
        self.set(id, State::Idle);
        self.ended(id, Ended::GivenUp);
    }

    pub(crate) fn unlocked(&mut self, id: HandleId) {
        if matches!(self.state(id), Some(State::Held(_))) {
            self.ended(id, Ended::Released);
        }
        self.release(id);
        self.set(id, State::Idle);
    }

    pub(crate) fn dropped(&mut self, id: HandleId) {
        self.release(id);
        self.handles.remove(&id);
    }

    pub(crate) fn killed(&mut self, process: u8) {
        for id in self.of_process(process) {
            if let Some(State::Waiting(mode)) = self.state(id) {
                self.set(id, State::Held(mode)); // the lock may have been granted before
            }
            self.dropped(id);
        }
        self.stopped.remove(&process);
    }

    pub(crate) fn stop(&mut self, process: u8) {
        self.stopped.insert(process);
    }

    pub(crate) fn resume(&mut self, process: u8) {
        self.stopped.remove(&process);
    }

    pub(crate) fn child_dropped(&mut self, id: HandleId) {
        if let Some(handle) = self.handles.get_mut(&id) {
            handle.child_dropped = true;
        }
    }

    pub(crate) fn child_lives(&mut self, process: u8) {
        for id in self.of_process(process) {
            if let Some(handle) = self.handles.get_mut(&id) {
                handle.child_lives = true;
            }
        }
    }

    pub(crate) fn unlink(&mut self, file: u8) {
        self.files[usize::from(file)] = None;
    }

    pub(crate) fn replace(&mut self, file: u8) {
        self.files[usize::from(file)] = Some(self.new_inode());
    }

    pub(crate) fn hard_link(&mut self, file: u8) {
        let inode = self.files[usize::from(file)];
        self.files[usize::from(FILES - 1 - file)] = inode;
    }

    fn hold(&mut self, id: HandleId, mode: LockMode) {
        self.set(id, State::Held(mode));
        if let Some(handle) = self.handles.get_mut(&id) {
            handle.child_dropped = false;
            handle.ended = None;
        }
    }

    fn ended(&mut self, id: HandleId, how: Ended) {
        if let Some(handle) = self.handles.get_mut(&id) {
            handle.ended = Some(how);
        }
    }

    fn release(&mut self, id: HandleId) {
        if let Some(&Handle {
            state, child_lives, ..
        }) = self.handles.get(&id)
        {
            match state {
                State::Held(_) => self.remember(id, Event::Released { child_lives }),
                State::Waiting(_) => self.remember(id, Event::Cancelled),
                State::Idle => {}
            }
        }
    }

    fn set(&mut self, id: HandleId, state: State) {
        if let Some(handle) = self.handles.get_mut(&id) {
            handle.state = state;
        }
    }

    fn remember(&mut self, id: HandleId, event: Event) {
        if let Some(inode) = self.inode_of(id) {
            self.events.entry(inode).or_default().push(event);
        }
    }

    fn others(&self, id: HandleId) -> impl Iterator<Item = State> {
        let inode = self.inode_of(id);
        self.handles
            .iter()
            .filter(move |(other, handle)| **other != id && Some(handle.inode) == inode)
            .map(|(_, handle)| handle.state)
    }

    fn of_process(&self, process: u8) -> Vec<HandleId> {
        let handles = self.handles.keys().copied();
        handles.filter(|id| id.process == process).collect()
    }

    fn new_inode(&mut self) -> Inode {
        self.inodes += 1;
        Inode(self.inodes)
    }
}
