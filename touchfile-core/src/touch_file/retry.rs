//! Trying again after a failure that may pass.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::trace::debug;

use crate::{Error, Result, runtime};

/// How often and when an acquisition is tried again that failed with
/// [`Error::Transient`]; see [`TouchFileBuilder::retry`](crate::TouchFileBuilder::retry).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use touchfile_core::{Retry, TouchFile};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let retry = Retry::new(5).backoff(Duration::from_millis(20), Duration::from_secs(2));
/// let touch = TouchFile::builder(backend).path("/some/where/a.lock").retry(retry).build()?;
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "it does nothing until it is given to a builder"]
pub struct Retry {
    times: u32,
    shortest: Duration,
    longest: Duration,
}

impl Retry {
    /// Up to `times` more attempts, after pauses between 10 ms and a second.
    pub const fn new(times: u32) -> Self {
        Self {
            times,
            shortest: Duration::from_millis(10),
            longest: Duration::from_secs(1),
        }
    }

    /// Pauses that begin with `shortest` and double up to `longest`. Each is cut by a random part of up to
    /// half of it, so that processes that failed together do not try together.
    pub const fn backoff(mut self, shortest: Duration, longest: Duration) -> Self {
        self.shortest = shortest;
        self.longest = longest;
        self
    }

    /// The pause before the attempt that follows `failed` failed ones.
    fn pause(&self, failed: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1));
        let whole = self.shortest.saturating_mul(factor).min(self.longest);
        let random = RandomState::new().hash_one(failed) % 1024;
        let cut = (whole / 2048).saturating_mul(u32::try_from(random).unwrap_or(0));
        whole.saturating_sub(cut)
    }
}

/// The failed attempts of one acquisition.
#[derive(Debug)]
pub(super) struct Attempts {
    retry: Option<Retry>,
    failed: u32,
}

impl Attempts {
    pub(super) const fn new(retry: Option<Retry>) -> Self {
        Self { retry, failed: 0 }
    }

    /// Pauses before the next attempt, or returns the error if there is to be none: it is not one that may
    /// pass, there were enough, or the pause would be longer than the time that is `left`.
    pub(super) async fn failed_with(&mut self, error: Error, left: Option<Duration>) -> Result<()> {
        let Some(retry) = self.retry.filter(|retry| self.failed < retry.times) else {
            return Err(error);
        };
        self.failed += 1;
        let pause = retry.pause(self.failed);
        if !error.is_transient() || left.is_some_and(|left| left <= pause) {
            return Err(error);
        }
        debug!(target: "touchfile", ?pause, "retrying");
        runtime::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_lose_up_to_half() {
        let ms = Duration::from_millis;
        let retry = Retry::new(u32::MAX).backoff(ms(10), ms(100));
        for (failed, whole) in [
            (1, 10),
            (2, 20),
            (3, 40),
            (4, 80),
            (5, 100),
            (u32::MAX, 100),
        ] {
            for _ in 0..100 {
                let pause = retry.pause(failed);
                assert!(pause > ms(whole) / 2 && pause <= ms(whole), "{pause:?}");
            }
        }
        let pauses: std::collections::HashSet<_> = (0..100).map(|_| retry.pause(1)).collect();
        assert!(pauses.len() > 10, "no jitter: {pauses:?}");
        let for_ever = Retry::new(1).backoff(Duration::MAX, Duration::MAX);
        assert!(for_ever.pause(9) > Duration::MAX / 3);
    }
}
