//! Time limits that a pause of the whole machine does not use up.

use std::time::{Duration, Instant};

/// The longest time between two readings of the clock.
const SLICE: Duration = Duration::from_millis(500);

/// Time that runs out.
///
/// While the suite itself is stopped, by Ctrl-Z or with its virtual machine, its workers have no time
/// to answer. So a waiter reads the clock once in a slice, and no two readings count for more than two
/// slices.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: Duration,
    last_read: Instant,
}

impl Countdown {
    pub(crate) fn new(from: Duration) -> Self {
        Self {
            left: from,
            last_read: Instant::now(),
        }
    }

    /// How long to wait until the next call; nothing once the time has run out.
    pub(crate) fn slice(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let passed = now.duration_since(self.last_read).min(2 * SLICE);
        self.last_read = now;
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
        countdown.last_read -= Duration::from_secs(60);
        assert_eq!(countdown.slice(), Some(SLICE));
        countdown.last_read -= Duration::from_secs(60);
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
