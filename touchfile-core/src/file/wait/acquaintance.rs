//! Getting to know whoever holds the lock that is waited for.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::system::is_announced;
use crate::file::FileId;
use crate::{LockKind, LockMode};

/// A lock, as the kernel lists it; in the mode of its holder, or in the one that is waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::file) struct Lock {
    pub(in crate::file) file: FileId,
    pub(in crate::file) kind: LockKind,
    pub(in crate::file) range: Option<RangeInclusive<u64>>,
    pub(in crate::file) mode: LockMode,
}

impl Lock {
    /// Whether it keeps `wanted` from being had, which is of the same bytes: there may be others in
    /// the way too, and one is enough.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn is_in_the_way_of(&self, wanted: &Self) -> bool {
        let excludes = [self.mode, wanted.mode].contains(&LockMode::Exclusive);
        let place = |lock: &Self| (lock.file, lock.kind, lock.range.clone());
        excludes && place(self) == place(wanted)
    }
}

/// What a wait knows of the holder: whether the end of its hold will be an event.
///
/// That takes looking through all processes, and so it is asked only once nothing has happened for
/// a while, and then ever more rarely.
#[derive(Debug)]
pub(super) struct Acquaintance {
    /// What is waited for, if anybody could announce that it is free.
    wanted: Option<Lock>,
    /// Since when nothing has happened to the lock that was seen.
    since: Instant,
    /// How long after that to ask.
    patience: Duration,
    announces: bool,
}

impl Acquaintance {
    /// Most waits are over by then. It is also far longer than a tick of the clock: whoever let go
    /// and locked again meanwhile, however briefly, has held the lock at such a tick and announced it
    /// ([`Courtesy`](super::Courtesy)). So this hold is a long one, whose end will be.
    const PATIENCE: Duration = Duration::from_millis(500);

    /// How much longer to wait with asking again, at most.
    const LONGEST: Duration = Duration::from_secs(60);

    pub(super) fn new(wanted: Option<Lock>) -> Self {
        Self {
            wanted,
            since: Instant::now(),
            patience: Self::PATIENCE,
            announces: false,
        }
    }

    /// Something has happened: whoever held the lock may have let go.
    pub(super) fn may_be_another(&mut self) {
        self.since = Instant::now();
        self.patience = Self::PATIENCE;
        self.announces = false;
    }

    /// Whether the lock cannot become free without an event, for as long as there was none.
    pub(super) fn announces(&mut self) -> bool {
        let Some(wanted) = &self.wanted else {
            return false;
        };
        if self.announces || self.since.elapsed() < self.patience {
            return self.announces;
        }
        // What another wait of this process has asked meanwhile will do.
        if let Some(announces) = is_announced(wanted, self.since + self.patience / 2) {
            self.announces = announces;
            self.patience += self.patience.min(Self::LONGEST);
        }
        self.announces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(mode: LockMode) -> Lock {
        Lock {
            file: FileId::of_path(std::path::Path::new("/"), true)
                .unwrap()
                .unwrap(),
            kind: LockKind::Flock,
            range: None,
            mode,
        }
    }

    #[test]
    fn only_a_lock_that_excludes_ours_is_waited_for() {
        let (shared, exclusive) = (lock(LockMode::Shared), lock(LockMode::Exclusive));
        assert!(exclusive.is_in_the_way_of(&shared));
        assert!(shared.is_in_the_way_of(&exclusive));
        assert!(exclusive.is_in_the_way_of(&exclusive));
        assert!(!shared.is_in_the_way_of(&shared));
        let mut other = exclusive.clone();
        other.kind = LockKind::Ofd;
        assert!(!other.is_in_the_way_of(&exclusive));
        let mut other = exclusive.clone();
        other.range = Some(0..=9);
        assert!(!other.is_in_the_way_of(&exclusive));
    }
}
