//! The laws of locking.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A law of locking, as [`LockBackend`](touchfile_core::LockBackend#the-laws) numbers them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// Law 1: an exclusive lock conflicts with every other, a shared lock with exclusive ones only.
    Exclusion,
    /// Law 2: an attempt finds the lock busy only if a conflicting holder existed at some moment of
    /// the call.
    NoFalseBusy,
    /// Law 3: after an error or a dropped future nothing is held, and nothing takes the lock later.
    AcquiredMeansAcquired,
    /// Law 4: dropping a waiting future is safe and prompt, and delays no other waiter.
    CancelSafety,
    /// Law 5: unlocking, dropping the handle, the end of the process and SIGKILL all release.
    Release,
    /// Law 6: a forked child neither releases nor prolongs its parent's lock.
    ForkAndExec,
    /// Law 7: `is_current` tells whether the path still names the locked file.
    Identity,
    /// Law 8: a waiter gets the lock soon after it is free.
    Liveness,
    /// Law 9: contention is no error, and errors can be told apart.
    Errors,
    /// Law 10: the token of an acquisition is greater than that of every earlier one that conflicts with
    /// it.
    Fencing,
    /// What is claimed holds, and what is not claimed is refused.
    Capabilities,
}

impl Law {
    /// Every law, in order.
    pub const ALL: [Self; 11] = [
        Self::Exclusion,
        Self::NoFalseBusy,
        Self::AcquiredMeansAcquired,
        Self::CancelSafety,
        Self::Release,
        Self::ForkAndExec,
        Self::Identity,
        Self::Liveness,
        Self::Errors,
        Self::Fencing,
        Self::Capabilities,
    ];

    /// The name in reports and in the names of cases, such as `no-false-busy`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclusion => "exclusion",
            Self::NoFalseBusy => "no-false-busy",
            Self::AcquiredMeansAcquired => "acquired-means-acquired",
            Self::CancelSafety => "cancel-safety",
            Self::Release => "release",
            Self::ForkAndExec => "fork-and-exec",
            Self::Identity => "identity",
            Self::Liveness => "liveness",
            Self::Errors => "errors",
            Self::Fencing => "fencing",
            Self::Capabilities => "capabilities",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
