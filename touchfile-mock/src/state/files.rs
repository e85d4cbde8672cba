//! Opening and closing files, and changing their names.

use std::io;
use std::path::Path;

use touchfile_core::{Capabilities, OpenOptions};

use super::inode::Inode;
use super::{HandleId, InodeId, OpenHandle, ProcessRef, State};
use crate::{Call, EventKind};

impl State {
    pub(crate) fn open(
        &mut self,
        process: &ProcessRef,
        capabilities: Capabilities,
        path: &Path,
        options: &OpenOptions,
    ) -> io::Result<HandleId> {
        self.strike(Call::Open, process, path)?;
        if options.remove_on_release && !capabilities.remove_on_release {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this mock backend was made without `remove_on_release`",
            ));
        }
        let inode = match self.paths.get(path) {
            Some(inode) => *inode,
            None if options.create => self.create_by(Some(process), path),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        self.inode(inode).open += 1;
        let handle = OpenHandle {
            process: process.clone(),
            alive: true,
            path: path.into(),
            inode,
            capabilities,
            remove_on_release: options.remove_on_release,
            held: None,
            token: 0,
            expired: None,
        };
        self.record(&handle, EventKind::Opened);
        let id = HandleId(self.fresh_id());
        self.handles.insert(id, handle);
        Ok(id)
    }

    /// Closes a handle that is dropped.
    pub(crate) fn close(&mut self, id: HandleId) {
        self.end_wait(id);
        let Some(handle) = self.handles.get(&id).filter(|h| h.alive).cloned() else {
            self.handles.remove(&id);
            return;
        };
        self.release(id, &handle);
        self.handles.remove(&id);
        self.record(&handle, EventKind::Closed);
        self.inode(handle.inode).open -= 1;
        self.forget_if_unused(handle.inode);
    }

    pub(crate) fn is_current(&mut self, id: HandleId, path: &Path) -> io::Result<bool> {
        let handle = self.live(id)?;
        self.strike(Call::IsCurrent, &handle.process, &handle.path)?;
        if !handle.capabilities.identity {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this mock backend was made without identities",
            ));
        }
        Ok(self.names(path, handle.inode))
    }

    pub(crate) fn identity(&self, id: HandleId) -> Option<Vec<u8>> {
        let handle = self.handles.get(&id)?;
        Some(handle.inode.0.to_be_bytes().to_vec())
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.paths.contains_key(path)
    }

    pub(crate) fn create(&mut self, path: &Path) {
        if !self.exists(path) {
            self.create_by(None, path);
        }
    }

    pub(crate) fn set_read_only(&mut self, path: &Path, read_only: bool) -> io::Result<()> {
        let inode = self.lookup(path)?;
        self.inode(inode).read_only = read_only;
        Ok(())
    }

    pub(crate) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.lookup(path)?;
        self.unlink_by(None, path);
        Ok(())
    }

    pub(crate) fn replace(&mut self, path: &Path) {
        let fresh = self.fresh_inode();
        self.name(path, fresh);
        self.history.record(None, Some(path), EventKind::Replaced);
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.lookup(from)?;
        // By rename(2), two names of one file both stay.
        if !self.names(to, inode) {
            self.name(to, inode);
            self.unname(from);
        }
        let what = EventKind::Renamed(to.to_owned());
        self.history.record(None, Some(from), what);
        Ok(())
    }

    pub(crate) fn hard_link(&mut self, original: &Path, link: &Path) -> io::Result<()> {
        let inode = self.lookup(original)?;
        if self.exists(link) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.name(link, inode);
        let what = EventKind::HardLinked(link.to_owned());
        self.history.record(None, Some(original), what);
        Ok(())
    }

    /// Whether `path` names this file.
    pub(super) fn names(&self, path: &Path, inode: InodeId) -> bool {
        self.paths.get(path) == Some(&inode)
    }

    pub(super) fn unlink_by(&mut self, process: Option<&ProcessRef>, path: &Path) {
        self.unname(path);
        let process = process.map(|p| &*p.name);
        self.history
            .record(process, Some(path), EventKind::Unlinked);
    }

    fn create_by(&mut self, process: Option<&ProcessRef>, path: &Path) -> InodeId {
        let inode = self.fresh_inode();
        self.name(path, inode);
        let process = process.map(|p| &*p.name);
        self.history.record(process, Some(path), EventKind::Created);
        inode
    }

    fn lookup(&self, path: &Path) -> io::Result<InodeId> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        self.paths.get(path).copied().ok_or_else(missing)
    }

    fn fresh_inode(&mut self) -> InodeId {
        let id = InodeId(self.fresh_id());
        self.inodes.insert(id, Inode::default());
        id
    }

    /// Lets `path` name this file, even if it named another.
    fn name(&mut self, path: &Path, inode: InodeId) {
        self.inode(inode).links += 1;
        if let Some(old) = self.paths.insert(path.to_owned(), inode) {
            self.inode(old).links -= 1;
            self.forget_if_unused(old);
        }
    }

    fn unname(&mut self, path: &Path) {
        if let Some(old) = self.paths.remove(path) {
            self.inode(old).links -= 1;
            self.forget_if_unused(old);
        }
    }
}
