//! Conversions of held locks.

use std::io;

use touchfile_core::{Attempt, LockMode};

use super::{HandleId, OpenHandle, State};
use crate::{Call, EventKind};

impl State {
    pub(crate) fn downgrade(&mut self, id: HandleId) -> io::Result<()> {
        let handle = self.ready_to_convert(id, Call::Downgrade)?;
        let (mode, _) = self.inode(handle.inode).hold_of(id).ok_or_else(lost)?;
        if std::mem::replace(mode, LockMode::Shared) == LockMode::Exclusive {
            self.converted(id, &handle, LockMode::Shared);
            self.wake(handle.inode);
        }
        Ok(())
    }

    /// Like `try_lock`, it ignores the queue, since a waiter is no holder.
    pub(crate) fn try_upgrade(&mut self, id: HandleId) -> io::Result<Attempt> {
        let handle = self.ready_to_convert(id, Call::TryUpgrade)?;
        let (mode, alone) = self.inode(handle.inode).hold_of(id).ok_or_else(lost)?;
        if !alone {
            self.record(&handle, EventKind::WouldBlock(LockMode::Exclusive));
            return Ok(Attempt::WouldBlock);
        }
        if std::mem::replace(mode, LockMode::Exclusive) == LockMode::Shared {
            self.new_token(id);
            self.converted(id, &handle, LockMode::Exclusive);
        }
        Ok(Attempt::Acquired)
    }

    /// Refuses a conversion that this handle must not ask for, and meets an armed fault.
    fn ready_to_convert(&mut self, id: HandleId, call: Call) -> io::Result<OpenHandle> {
        let handle = self.live(id)?;
        let refused = |kind, what| Err(io::Error::new(kind, what));
        if !handle.capabilities.atomic_conversion {
            let what = "this mock backend was made without conversion";
            return refused(io::ErrorKind::Unsupported, what);
        }
        if handle.held.is_none() {
            let what = "this handle holds no lock that could change its mode";
            return refused(io::ErrorKind::InvalidInput, what);
        }
        let read_only = self.inode(handle.inode).read_only;
        if call == Call::TryUpgrade && read_only && !handle.capabilities.exclusive_read_only {
            let what = "this mock backend locks read-only files in shared mode only";
            return refused(io::ErrorKind::Unsupported, what);
        }
        self.strike(call, &handle.process, &handle.path)?;
        Ok(handle)
    }

    fn converted(&mut self, id: HandleId, handle: &OpenHandle, mode: LockMode) {
        self.set_held(id, Some(mode));
        self.record(handle, EventKind::Converted(mode));
    }
}

fn lost() -> io::Error {
    const EIO: i32 = 5;
    io::Error::from_raw_os_error(EIO)
}
