//! The mode of a lock, and the outcome of an attempt to take one.

use std::fmt;
use std::str::FromStr;

use crate::names::{self, UnknownName};

/// How a lock is held: together with other readers, or alone.
///
/// The enum is exhaustive on purpose: the laws of exclusion are written over these two. It displays
/// as `exclusive` and `shared`, and is parsed from these.
///
/// # Examples
///
/// ```
/// use touchfile_core::LockMode;
///
/// assert_eq!("shared".parse(), Ok(LockMode::Shared));
/// assert_eq!(LockMode::Exclusive.to_string(), "exclusive");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum LockMode {
    /// Held alone: conflicts with every other holder.
    Exclusive,
    /// Held together with other shared holders: conflicts with an exclusive holder only.
    Shared,
}

impl LockMode {
    /// Whether a holder in this mode and one in `other` exclude each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::{Exclusive, Shared};
    /// assert!(Exclusive.conflicts_with(Shared));
    /// assert!(!Shared.conflicts_with(Shared));
    /// ```
    #[must_use]
    pub const fn conflicts_with(self, other: Self) -> bool {
        matches!(self, Self::Exclusive) || matches!(other, Self::Exclusive)
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        })
    }
}

impl FromStr for LockMode {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        names::parse("lock mode", &[Self::Exclusive, Self::Shared], text)
    }
}

/// The outcome of one attempt to take a lock. Contention is an outcome, not an error.
///
/// The enum is exhaustive on purpose: an attempt has no third outcome that is not an error.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use = "an attempt may have taken the lock"]
pub enum Attempt {
    /// The lock is held now.
    Acquired,
    /// A conflicting holder existed at some moment of the call; nothing is held.
    WouldBlock,
}
