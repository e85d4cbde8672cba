//! What refuses a holder that somebody else has followed.

/// The part of fencing that a store does: it refuses what comes with a token lower than the highest
/// that it has seen.
///
/// A holder that was stopped for longer than its lock lasts goes on as if nothing had happened, and no
/// check of its own can close the gap between that check and the write which follows. The store can: each
/// holder sends the [token](crate::Guard::token) of its acquisition with what it writes, and the store
/// admits it or not. Several writes of one holder have one token, which is admitted each time.
///
/// A store keeps its fence under the same mutex, or in the same transaction, as the data, and saves
/// [`highest`](Self::highest) with them.
///
/// # Examples
///
/// ```
/// use touchfile_core::{Fence, TouchFile};
/// use touchfile_mock::World;
///
/// let world = World::new();
/// let [a, b] = ["a", "b"].map(|name| TouchFile::new(world.process(name), "jobs/report").unwrap());
/// let mut fence = Fence::new();
///
/// let stopped = a.blocking().lock_exclusive()?;
/// fence.admit(stopped.token().unwrap()).unwrap();
/// world.lose_lock("jobs/report"); // its lease has run out
/// let next = b.blocking().lock_exclusive()?;
/// fence.admit(next.token().unwrap()).unwrap();
/// let refused = fence.admit(stopped.token().unwrap()).unwrap_err();
/// assert_eq!(refused.highest(), next.token().unwrap());
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Fence {
    highest: u64,
}

impl Fence {
    /// A fence that has seen no token yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: 0 }
    }

    /// A fence that refuses all tokens lower than `highest`, for a store that is opened again.
    #[must_use]
    pub const fn starting_at(highest: u64) -> Self {
        Self { highest }
    }

    /// Admits `token`, and from then on refuses all lower ones.
    ///
    /// # Errors
    ///
    /// [`StaleToken`] if a higher token was admitted before. The fence is as it was.
    pub const fn admit(&mut self, token: u64) -> Result<(), StaleToken> {
        if token < self.highest {
            return Err(StaleToken {
                token,
                highest: self.highest,
            });
        }
        self.highest = token;
        Ok(())
    }

    /// The highest token so far.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }
}

/// A [`Fence`] has refused a token: its holder has lost the lock, and somebody else has taken it since.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the lock was lost: token {token} is older than {highest}, which was seen already")]
pub struct StaleToken {
    token: u64,
    highest: u64,
}

impl StaleToken {
    /// The token that was refused.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// The highest token that had been admitted.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lower_than_the_highest_is_refused_and_the_same_again_is_not() {
        let mut fence = Fence::starting_at(5);
        assert_eq!(fence.admit(7), Ok(()));
        assert_eq!(fence.admit(7), Ok(()));
        let refused = fence.admit(6).unwrap_err();
        assert_eq!((refused.token(), refused.highest()), (6, 7));
        assert_eq!(fence.highest(), 7);
        let message = "the lock was lost: token 6 is older than 7, which was seen already";
        assert_eq!(refused.to_string(), message);
    }
}
