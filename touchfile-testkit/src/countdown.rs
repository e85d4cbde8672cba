//! Time to wait, of which a pause of the whole machine takes little.

use std::time::{Duration, Instant};

/// How long anybody waits before looking again.
const SLICE: Duration = Duration::from_millis(500);

/// Time that runs out.
///
/// A suite that is itself stopped, by Ctrl-Z or with its virtual machine, has not waited in the
/// meantime, and its workers were given no time to answer. So no look at the clock counts for more
/// than two slices, and whoever waits looks once in a slice.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: Duration,
    looked: Instant,
}

impl Countdown {
    pub(crate) fn new(from: Duration) -> Self {
        Self {
            left: from,
            looked: Instant::now(),
        }
    }

    /// How long to wait until the next look; nothing once the time has run out.
    pub(crate) fn slice(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let passed = now.duration_since(self.looked).min(2 * SLICE);
        self.looked = now;
        self.left = self.left.saturating_sub(passed);
        (!self.left.is_zero()).then(|| self.left.min(SLICE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_takes_no_more_than_two_slices() {
        let mut countdown = Countdown::new(3 * SLICE);
        countdown.looked -= Duration::from_secs(60);
        assert_eq!(countdown.slice(), Some(SLICE));
        countdown.looked -= Duration::from_secs(60);
        assert_eq!(countdown.slice(), None);
    }

    #[test]
    fn time_runs_out() {
        let mut countdown = Countdown::new(Duration::from_millis(5));
        while let Some(slice) = countdown.slice() {
            assert!(slice <= Duration::from_millis(5));
            std::thread::sleep(slice);
        }
    }
}
