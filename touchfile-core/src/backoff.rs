//! The pause between two attempts, where nothing better is known than to try again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::runtime;

const SHORTEST_US: u64 = 1_000;
const LONGEST_US: u64 = 10_000;

/// Jittered pauses that grow from 1 ms to at most 10 ms.
///
/// Jitter keeps processes that started to wait together from trying together ever after.
///
/// # Examples
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// use touchfile_core::backoff::Backoff;
///
/// let mut attempts = 0;
/// let mut backoff = Backoff::new();
/// while attempts < 3 {
///     attempts += 1;
///     backoff.pause().await;
/// }
/// # });
/// ```
#[derive(Debug)]
pub struct Backoff {
    ceiling_us: u64,
    jitter: RandomState,
}

impl Backoff {
    /// Starts at the shortest pause.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ceiling_us: SHORTEST_US,
            jitter: RandomState::new(),
        }
    }

    /// Waits for the next pause, on the current tokio runtime's timer if there is one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the pause.
    pub async fn pause(&mut self) {
        runtime::sleep(self.next_delay()).await;
    }

    pub(crate) fn next_delay(&mut self) -> Duration {
        self.ceiling_us = (self.ceiling_us * 2).min(LONGEST_US);
        let spread = self.ceiling_us - SHORTEST_US + 1;
        let random = self.jitter.hash_one(self.ceiling_us);
        // The keys of a `RandomState` differ from value to value: take the next for the next pause.
        self.jitter = RandomState::new();
        Duration::from_micros(SHORTEST_US + random % spread)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_between_one_and_ten_milliseconds_and_differ() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = (0..200).map(|_| backoff.next_delay()).collect();
        assert!(
            delays.iter().all(|d| (1..=10).contains(&d.as_millis())),
            "{delays:?}"
        );
        assert!(delays[0] <= Duration::from_millis(2));
        let distinct: std::collections::HashSet<_> = delays.iter().collect();
        assert!(distinct.len() > 50, "no jitter: {delays:?}");
    }
}
