//! Telling a brief hold from a long one, for next to nothing.

use std::time::{Duration, Instant};

/// After so many brief holds in a row, only one hold in so many is measured exactly.
const SAMPLE: u8 = 8;

/// Measures how long a handle holds its locks.
///
/// The exact clock is the better part of what fairness costs an uncontended holder, and most
/// handles hold as briefly as they did before. So once they have, most holds are measured by the
/// clock's ticks alone, which is enough for those that last some milliseconds.
#[derive(Debug, Default)]
pub(super) struct HoldTimer {
    started: Option<Start>,
    /// How many holds in a row were brief.
    brief: u8,
    holds: u8,
}

#[derive(Debug)]
struct Start {
    tick: Duration,
    exact: Option<Instant>,
}

impl HoldTimer {
    /// Starts to measure a hold, or what may become one, at this [`tick`].
    #[inline]
    pub(super) fn start(&mut self, tick: Duration) {
        self.holds = self.holds.wrapping_add(1);
        let measured = self.brief < SAMPLE || self.holds % SAMPLE == 0;
        let exact = measured.then(Instant::now);
        self.started = Some(Start { tick, exact });
    }

    #[inline]
    pub(super) fn is_started(&self) -> bool {
        self.started.is_some()
    }

    /// Ends the measurement: may the hold have been longer than `brief`, which is less than a tick?
    #[inline]
    pub(super) fn was_longer_than(&mut self, brief: Duration) -> bool {
        let Some(start) = self.started.take() else {
            return true;
        };
        let Some(exact) = start.exact else {
            return tick() != start.tick;
        };
        let long = exact.elapsed() > brief;
        self.brief = if long {
            0
        } else {
            self.brief.saturating_add(1)
        };
        long
    }
}

/// A monotonic clock that is read for nothing and goes in steps of one to ten milliseconds
/// (clock_getres(2), CLOCK_MONOTONIC_COARSE).
#[cfg(all(target_os = "linux", feature = "events"))]
#[inline]
pub(super) fn tick() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let now = clock_gettime(ClockId::MonotonicCoarse);
    // Since the machine was started: neither is negative.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Whole milliseconds.
#[cfg(not(all(target_os = "linux", feature = "events")))]
pub(super) fn tick() -> Duration {
    use std::sync::OnceLock;

    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = FIRST.get_or_init(Instant::now).elapsed();
    Duration::from_millis(since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_micros(100);

    fn hold(timer: &mut HoldTimer, time: Duration) -> bool {
        timer.start(tick());
        let since = Instant::now();
        while since.elapsed() < time {
            std::hint::spin_loop();
        }
        timer.was_longer_than(BRIEF)
    }

    #[test]
    fn long_holds_are_seen_and_soon_seen_again_after_many_brief_ones() {
        let mut timer = HoldTimer::default();
        assert!(hold(&mut timer, 2 * BRIEF));
        for _ in 0..100 {
            hold(&mut timer, Duration::ZERO);
        }
        let longer_than_a_tick = Duration::from_millis(25);
        assert!(hold(&mut timer, longer_than_a_tick));
        let seen = (0..u32::from(2 * SAMPLE)).any(|_| hold(&mut timer, 2 * BRIEF));
        assert!(seen, "one in {SAMPLE} is measured");
        // From then on, all of them are.
        assert!((0..20).all(|_| hold(&mut timer, 2 * BRIEF)));
    }

    #[test]
    fn what_was_not_measured_may_have_been_long() {
        assert!(HoldTimer::default().was_longer_than(BRIEF));
    }
}
