//! Random numbers.

use std::hash::{BuildHasher, RandomState};

/// True once in `n` times, at random.
pub(super) fn one_in(n: u64) -> bool {
    number() % n == 0
}

/// A random number.
pub(super) fn number() -> u64 {
    // The keys of a `RandomState` differ from value to value.
    RandomState::new().hash_one(0)
}
