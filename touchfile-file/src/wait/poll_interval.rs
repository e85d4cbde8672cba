//! How often the head of the queue tries the lock when nothing tells of a release.

use std::time::{Duration, Instant};

use super::system::HolderProbe;

/// The adaptive interval: short while the holder may release the lock without an event, and the longer
/// the more of a long wait is over once it is known that the release will be an event.
///
/// A probe finds that out. It looks through the processes of this user, so it starts only once nothing
/// has happened for a while, and is repeated more and more rarely.
#[derive(Debug)]
pub(super) struct PollInterval {
    /// `None` if nobody could announce that the lock is free.
    probe: Option<Box<dyn HolderProbe>>,
    /// Since when nothing has happened to the lock that was noticed.
    quiet_since: Instant,
    /// How long after that to probe.
    probe_after: Duration,
    is_announced: bool,
}

impl PollInterval {
    /// Most waits are over by then. It is also far longer than a tick of the clock: whoever has
    /// released the lock and taken it again meanwhile, however briefly, has held it at such a tick and
    /// has announced the release. So this hold is a long one, whose release will be announced.
    const FIRST_PROBE: Duration = Duration::from_millis(500);

    /// The probes are not further apart than this.
    const RAREST_PROBE: Duration = Duration::from_secs(60);

    /// A probe may use this part of the time that was waited as processor time.
    const PROBE_COST: u32 = 32;

    /// An announcement can get lost: the holder's path may lead nowhere by then. So the interval is at
    /// most this part of the time in which nothing happened.
    const QUIET_SHARE: u32 = 8;

    pub(super) fn new(probe: Option<Box<dyn HolderProbe>>) -> Self {
        Self {
            probe,
            quiet_since: Instant::now(),
            probe_after: Self::FIRST_PROBE,
            is_announced: false,
        }
    }

    /// Something has happened, so the holder may be another one by now.
    pub(super) fn reset(&mut self) {
        self.quiet_since = Instant::now();
        self.probe_after = Self::FIRST_PROBE;
        self.is_announced = false;
    }

    /// When to try the lock for the next time if there is no event: after `shortest`, or up to
    /// `longest` if the release will be announced.
    pub(super) fn next(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let quiet = self.quiet_since.elapsed();
        self.run_probe(quiet);
        let mut interval = shortest;
        // It doubles, so that waits with other intervals wake the process up at the same times.
        while self.is_announced
            && 2 * interval <= longest
            && 2 * interval * Self::QUIET_SHARE <= quiet
        {
            interval *= 2;
        }
        interval
    }

    fn run_probe(&mut self, quiet: Duration) {
        let Some(probe) = &self.probe else {
            return;
        };
        if quiet < self.probe_after {
            return;
        }
        // A probe that another wait of this process has started meanwhile counts as well.
        let since = self.quiet_since + self.probe_after / 2;
        if let Some(announces) = probe.announces(since, self.probe_after / Self::PROBE_COST) {
            self.is_announced = announces;
            self.probe_after += self.probe_after.min(Self::RAREST_PROBE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_nothing_has_happened_the_more_rarely_it_polls() {
        let (shortest, longest) = (Duration::from_millis(8), Duration::from_millis(256));
        let mut interval = PollInterval::new(None);
        let mut intervals = |is_announced, quiet: [u64; 5]| {
            interval.is_announced = is_announced;
            quiet.map(|quiet| {
                interval.quiet_since = Instant::now() - Duration::from_millis(quiet);
                interval.next(shortest, longest).as_millis()
            })
        };
        assert_eq!(
            intervals(true, [0, 130, 600, 1_100, 9_000]),
            [8, 16, 64, 128, 256]
        );
        assert_eq!(intervals(false, [0, 130, 600, 1_100, 9_000]), [8; 5]);
    }
}
