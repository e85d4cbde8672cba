//! What is said about many numbers.

use crate::clock::Nanos;

/// Times, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<Nanos>);

impl Sample {
    pub(crate) fn new(mut times: Vec<Nanos>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The smallest time that this share of all does not exceed, in units of `unit` ns.
    pub(crate) fn percentile(&self, share: f64, unit: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is an index"
        )]
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        let time = self.0.get(rank.saturating_sub(1));
        time.map_or(f64::NAN, |time| *time as f64 / unit)
    }

    /// p50, p90, p99 and the maximum.
    pub(crate) fn summary(&self, unit: f64) -> [f64; 4] {
        [0.5, 0.9, 0.99, 1.0].map(|share| self.percentile(share, unit))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Jain's index of fairness: 1 if all have the same, 1/k if one of k has it all.
pub(crate) fn jain(shares: &[u64]) -> f64 {
    let total: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    total.powi(2) / (shares.len() as f64 * squares)
}

/// Numbers that look random and are the same in every run (xorshift64).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, jain};

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let sample = Sample::new((1..=100).rev().collect());
        assert_eq!(sample.summary(1.0), [50.0, 90.0, 99.0, 100.0]);
        assert_eq!(Sample::new(vec![7]).summary(1.0), [7.0; 4]);
        assert!(Sample::default().percentile(0.5, 1.0).is_nan());
    }

    #[test]
    fn jain_is_1_for_equals_and_1_of_k_for_a_monopoly() {
        assert!((jain(&[5, 5, 5, 5]) - 1.0).abs() < 1e-9);
        assert!((jain(&[0, 20, 0, 0]) - 0.25).abs() < 1e-9);
    }
}
