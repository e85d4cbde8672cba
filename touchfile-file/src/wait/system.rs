//! What waiting needs of an operating system.
//!
//! Every method of [`System`] has a default that offers nothing, and a wait does without whatever is
//! missing: in the end it tries the lock every few milliseconds. So a system that offers nothing is an
//! empty implementation, and a new one starts with the part that helps most.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use touchfile_core::{LockKind, LockMode};

use super::{QueuePlace, Target};
use crate::open::OpenFlags;
use crate::{BlockingLock, FileId, Symlinks};

/// What an operating system offers to those who wait.
pub(crate) trait System: fmt::Debug + Sync {
    /// Flags to open a lock file with, by which other processes see that its release is announced.
    fn open_flags(&self) -> OpenFlags {
        OpenFlags::empty()
    }

    /// Wakes those who wait for the lock of `target`, which was just released.
    fn notify_waiters(&self, target: &Target<'_>) {
        let _ = target;
    }

    /// Watches the file at `path` from now on.
    fn watch(&self, path: &Path, symlinks: Symlinks) -> Option<Box<dyn FileEvents>> {
        let _ = (path, symlinks);
        None
    }

    /// Takes the last place in the queue of this user's processes that is called `key`, or its head
    /// if there is no queue. Without queues everybody is a head, with nothing to hand over.
    fn enter_queue(&self, key: &str) -> Place {
        let _ = key;
        Place::Head(None)
    }

    /// Takes the last place in the queue that is called `key`, if there is one.
    fn join_queue(&self, key: &str) -> Joined {
        let _ = key;
        Joined::Nobody
    }

    /// Where the queue of this user's processes is that is called one of `keys`.
    fn queue_place(&self, keys: &[String]) -> QueuePlace {
        let _ = keys;
        QueuePlace::None
    }

    /// Lets whoever asks see that this process waits for `lock` on `file`, until what it returns is dropped.
    fn announce(&self, lock: &Lock, file: &File) -> Option<Box<dyn fmt::Debug + Send + Sync>> {
        let _ = (lock, file);
        None
    }

    /// Whether most likely nobody holds a lock of `file`, which is found out without taking one.
    fn lists_no_lock(&self, file: &File) -> bool {
        let _ = file;
        false
    }

    /// Starts to find out who holds a lock that excludes `wanted`.
    fn probe(&self, wanted: Lock) -> Option<Box<dyn HolderProbe>> {
        let _ = wanted;
        None
    }

    /// Starts to wait in the kernel's queue for the lock of the file that `open` opens.
    fn wait_in_kernel(
        &self,
        _lock: Arc<dyn BlockingLock>,
        _mode: LockMode,
        _open: &mut dyn FnMut() -> Option<File>,
    ) -> Option<Box<dyn KernelWait>> {
        None
    }
}

/// A system that offers nothing.
#[derive(Debug)]
pub(crate) struct Unaided;

impl System for Unaided {}

/// Events of a lock file that may mean that its lock was released. Watching ends with the drop.
pub(crate) trait FileEvents: fmt::Debug + Send + Sync {
    /// Ready when something has happened, and an error when nothing will be told any more.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Stops watching at once, and leaves what takes time for the drop.
    fn retire(&mut self);
}

/// A place in the queue of those who wait for a lock.
#[derive(Debug)]
pub(crate) enum Place {
    /// None yet, as others form a queue at this moment. Whoever does that may have to wait for a
    /// processor, or be stopped.
    #[cfg_attr(
        not(all(target_os = "linux", feature = "events")),
        expect(dead_code, reason = "there is no queue elsewhere")
    )]
    Crowded,
    /// The head of the queue, which waits for the lock; with nothing to hand over if there is no queue.
    Head(Option<Box<dyn QueueHead>>),
    /// A place behind the head, which waits for its turn.
    Behind(Box<dyn Follower>),
}

/// What comes of looking for a queue.
#[derive(Debug)]
#[cfg_attr(
    not(all(target_os = "linux", feature = "events")),
    expect(dead_code, reason = "there is no queue elsewhere")
)]
pub(crate) enum Joined {
    /// The last place in it.
    Behind(Box<dyn Follower>),
    /// Nobody stands in it.
    Nobody,
    /// There can be none: another user has its name.
    Taken,
}

/// The head of a queue. Dropping it hands the head over to the next in the queue.
pub(crate) trait QueueHead: fmt::Debug + Send + Sync {
    /// Hands the head over to the next in the queue, if there is one.
    fn hand_over(&mut self);
}

/// A place behind the head of a queue. Dropping it leaves the queue.
pub(crate) trait Follower: fmt::Debug + Send + Sync {
    /// Whether the waker that [`poll_turn`](Self::poll_turn) is given is called; otherwise the turn is
    /// found by asking again.
    fn is_watched(&self) -> bool;

    /// The end of this place.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn>;
}

/// The end of a follower's place in the queue.
#[derive(Debug)]
#[cfg_attr(
    not(all(target_os = "linux", feature = "events")),
    expect(dead_code, reason = "there is no queue elsewhere")
)]
pub(crate) enum Turn {
    /// It is the head now.
    Head(Box<dyn QueueHead>),
    /// There is no queue any more.
    Broken,
}

/// A search for the holder of a lock.
pub(crate) trait HolderProbe: fmt::Debug + Send + Sync {
    /// Whether such a lock was held at some time after `since` by a handle that announces its release;
    /// `None` while that is not known. The search that this starts takes so much processor time at most.
    fn announces(&self, since: Instant, budget: Duration) -> Option<bool>;
}

/// A wait in the kernel's queue. It ends with the drop, and takes nothing after that.
pub(crate) trait KernelWait: fmt::Debug + Send + Sync {
    /// The file that is locked now; `None` if the lock cannot be waited for like this.
    fn poll_acquired(&mut self, cx: &mut Context<'_>) -> Poll<Option<File>>;
}

/// A lock, as the kernel lists it; in the mode of its holder, or in the one that is waited for.
#[cfg_attr(not(all(target_os = "linux", feature = "events")), allow(dead_code))]
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lock {
    pub(crate) file: FileId,
    pub(crate) kind: LockKind,
    pub(crate) range: Option<RangeInclusive<u64>>,
    pub(crate) mode: LockMode,
}

impl Lock {
    /// Whether it excludes `wanted`, which is a lock on the same bytes. Other locks may exclude that
    /// too, and one is enough.
    #[cfg_attr(not(all(target_os = "linux", feature = "events")), allow(dead_code))]
    pub(super) fn excludes(&self, wanted: &Self) -> bool {
        let conflicts = [self.mode, wanted.mode].contains(&LockMode::Exclusive);
        let bytes = |lock: &Self| (lock.file, lock.kind, lock.range.clone());
        conflicts && bytes(self) == bytes(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(mode: LockMode) -> Lock {
        Lock {
            file: FileId::from_path(std::path::Path::new("/"), crate::Symlinks::Follow)
                .unwrap()
                .unwrap(),
            kind: LockKind::Flock,
            range: None,
            mode,
        }
    }

    #[test]
    fn a_lock_excludes_locks_on_the_same_bytes_unless_both_are_shared() {
        let (shared, exclusive) = (lock(LockMode::Shared), lock(LockMode::Exclusive));
        assert!(exclusive.excludes(&shared));
        assert!(shared.excludes(&exclusive));
        assert!(exclusive.excludes(&exclusive));
        assert!(!shared.excludes(&shared));
        let mut other = exclusive.clone();
        other.kind = LockKind::Ofd;
        assert!(!other.excludes(&exclusive));
        let mut other = exclusive.clone();
        other.range = Some(0..=9);
        assert!(!other.excludes(&exclusive));
    }
}
