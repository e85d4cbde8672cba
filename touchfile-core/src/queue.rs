//! The queue inside the process: first come, first served, shared holders together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::LockMode;

/// All permits of a queue, as many as tokio's `RwLock` has. An exclusive holder takes them all, a
/// shared one takes one.
const ALL_PERMITS: u32 = u32::MAX >> 3;

/// The queue of one `TouchFile`. Clones are the same queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue(Arc<Semaphore>);

/// A turn in the queue, which is over when this is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

const fn permits(mode: LockMode) -> u32 {
    match mode {
        LockMode::Exclusive => ALL_PERMITS,
        LockMode::Shared => 1,
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ALL_PERMITS as usize)))
    }

    /// A permit for `mode` if one is free and nobody waits.
    #[inline]
    pub(crate) fn try_enter(&self, mode: LockMode) -> Option<Permit> {
        self.0.clone().try_acquire_many_owned(permits(mode)).ok()
    }

    /// Waits for a permit for `mode`.
    pub(crate) async fn enter(&self, mode: LockMode) -> Permit {
        let permit = self.0.clone().acquire_many_owned(permits(mode)).await;
        permit.expect("the queue is never closed")
    }

    /// The permit that a shared one lacks to be exclusive, if nobody else has a permit or waits.
    ///
    /// Tokio hands a free permit to whoever waits first, so all others are free only if nobody waits.
    pub(crate) fn try_enter_exclusively(&self) -> Option<Permit> {
        let others = permits(LockMode::Exclusive) - permits(LockMode::Shared);
        self.0.clone().try_acquire_many_owned(others).ok()
    }
}

/// Takes from `permit` what a shared holder does not need. It may be shared already.
pub(crate) fn split_surplus(permit: &mut Permit) -> Option<Permit> {
    let surplus = permit.num_permits() - permits(LockMode::Shared) as usize;
    permit.split(surplus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LockMode::{Exclusive, Shared};

    #[test]
    fn shared_permits_are_held_together_and_an_exclusive_one_alone() {
        let queue = Queue::new();
        let one = queue.try_enter(Shared).unwrap();
        let other = queue.try_enter(Shared).unwrap();
        assert!(queue.try_enter(Exclusive).is_none());
        assert!(queue.try_enter_exclusively().is_none());
        drop(other);
        let rest = queue.try_enter_exclusively().unwrap();
        assert!(queue.try_enter(Shared).is_none());
        drop((one, rest));
        let mut all = queue.try_enter(Exclusive).unwrap();
        assert!(queue.try_enter(Shared).is_none());
        drop(split_surplus(&mut all));
        assert!(queue.try_enter(Shared).is_some());
    }
}
