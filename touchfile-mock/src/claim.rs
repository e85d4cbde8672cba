//! Who holds or waits for a lock.

use std::fmt;

use touchfile_core::LockMode;

/// A process that holds a lock or waits for it, as [`World::holders`](crate::World::holders) and
/// [`World::waiters`](crate::World::waiters) return it.
///
/// It can be compared with a pair, which is how a test writes what it expects.
///
/// # Examples
///
/// ```
/// use touchfile_core::LockMode::Exclusive;
/// use touchfile_mock::World;
///
/// let world = World::new();
/// assert_eq!(world.holders("/a.lock"), [] as [(&str, _); 0]);
/// # let held = touchfile_mock::Claim::new("a", Exclusive);
/// assert_eq!(vec![held], [("a", Exclusive)]);
/// ```
///
/// The struct is exhaustive on purpose: a claim has these two fields and no others.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Claim {
    /// The name of the process.
    pub process: String,
    /// The mode that it holds or waits for.
    pub mode: LockMode,
}

impl Claim {
    /// The claim of a process in a mode.
    pub fn new(process: impl Into<String>, mode: LockMode) -> Self {
        Self {
            process: process.into(),
            mode,
        }
    }
}

impl PartialEq<(&str, LockMode)> for Claim {
    fn eq(&self, (process, mode): &(&str, LockMode)) -> bool {
        self.process == *process && self.mode == *mode
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.process, self.mode)
    }
}
