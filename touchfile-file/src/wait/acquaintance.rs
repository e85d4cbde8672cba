//! Getting to know whoever holds the lock that is waited for.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::system::Inquiry;
use crate::FileId;
use touchfile_core::{LockKind, LockMode};

/// A lock, as the kernel lists it; in the mode of its holder, or in the one that is waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lock {
    pub(crate) file: FileId,
    pub(crate) kind: LockKind,
    pub(crate) range: Option<RangeInclusive<u64>>,
    pub(crate) mode: LockMode,
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
/// That takes looking through the processes of this user, and so it is asked only once nothing has
/// happened for a while, and then ever more rarely.
#[derive(Debug)]
pub(super) struct Acquaintance {
    /// None if nobody could announce that the lock is free.
    inquiry: Option<Inquiry>,
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

    /// To know the holder may cost this part of the time it was waited for.
    const EXPENSE: u32 = 32;

    /// An announcement can get lost: the holder's path may lead nowhere by then. So the lock is looked
    /// at all the same, at least when it was waited for so much longer again.
    const DOUBT: u32 = 8;

    pub(super) fn new(wanted: Option<Lock>) -> Self {
        Self {
            inquiry: wanted.map(Inquiry::new),
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

    /// When to look at the lock for the next time if there is no event: after `usual`, or some times
    /// as long if its end will be one.
    pub(super) fn pause(&mut self, usual: Duration, longest: Duration) -> Duration {
        let quiet = self.since.elapsed();
        self.ask(quiet);
        let mut pause = usual;
        // By doubling, so that those who look more often do it at the same times, among others.
        while self.announces && 2 * pause <= longest && 2 * pause * Self::DOUBT <= quiet {
            pause *= 2;
        }
        pause
    }

    fn ask(&mut self, quiet: Duration) {
        let Some(inquiry) = &self.inquiry else {
            return;
        };
        if quiet < self.patience {
            return;
        }
        // What another wait of this process has asked meanwhile will do.
        let since = self.since + self.patience / 2;
        if let Some(announces) = inquiry.answer(since, self.patience / Self::EXPENSE) {
            self.announces = announces;
            self.patience += self.patience.min(Self::LONGEST);
        }
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
    fn the_longer_nothing_has_happened_the_more_rarely_it_looks() {
        let (usual, longest) = (Duration::from_millis(8), Duration::from_millis(256));
        let mut holder = Acquaintance::new(None);
        let mut pauses = |announces, quiet: [u64; 5]| {
            holder.announces = announces;
            quiet.map(|quiet| {
                holder.since = Instant::now() - Duration::from_millis(quiet);
                holder.pause(usual, longest).as_millis()
            })
        };
        assert_eq!(
            pauses(true, [0, 130, 600, 1_100, 9_000]),
            [8, 16, 64, 128, 256]
        );
        assert_eq!(pauses(false, [0, 130, 600, 1_100, 9_000]), [8; 5]);
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
