//! Open handles that hold nothing, kept for the next acquisition.

use std::sync::{Mutex, PoisonError};

use crate::LockHandle;
use crate::offload::OffloadHandle;

/// How many are kept.
const MAX_IDLE: usize = 4;

/// The idle handles of one `TouchFile`.
#[derive(Debug)]
pub(super) struct IdleHandles<H: LockHandle>(Mutex<Vec<OffloadHandle<H>>>);

impl<H: LockHandle> IdleHandles<H> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    #[inline]
    pub(super) fn take(&self) -> Option<OffloadHandle<H>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A forked child can neither use nor close those that are on a thread of its parent.
        idle.pop().filter(OffloadHandle::is_usable)
    }

    /// Keeps a handle, or closes it if there are enough.
    #[inline]
    pub(super) fn put(&self, handle: OffloadHandle<H>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(handle);
        }
    }

    /// Closes them all, after the mutex is free again: closing may take its time.
    pub(super) fn clear(&self) {
        let stale = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(stale);
    }
}
