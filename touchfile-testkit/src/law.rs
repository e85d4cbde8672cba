//! The laws, as the suite names them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A law of locking, as [`LockBackend`](touchfile_core::LockBackend#the-laws) numbers them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// Law 1: exclusive conflicts with everything, shared with exclusive only.
    Exclusion,
    /// Law 2: busy only if a conflicting holder existed at some moment of the call.
    NoFalseBusy,
    /// Law 3: an error or a dropped future leaves nothing held and nothing that takes it later.
    AcquiredMeansAcquired,
    /// Law 4: dropping a waiting future is safe and prompt and delays nobody.
    CancelSafety,
    /// Law 5: unlock, drop, exit and SIGKILL all release.
    Release,
    /// Law 6: a forked child neither releases nor prolongs its parent's lock.
    ForkAndExec,
    /// Law 7: `is_current` tells whether the path still names the locked file.
    Identity,
    /// Law 8: a waiter gets the lock soon after it is free.
    Liveness,
    /// Law 9: contention is no error, and errors are told apart.
    Errors,
    /// What is claimed holds, and what is not claimed is refused.
    Capabilities,
}

impl Law {
    /// Every law, in order.
    pub const ALL: [Self; 10] = [
        Self::Exclusion,
        Self::NoFalseBusy,
        Self::AcquiredMeansAcquired,
        Self::CancelSafety,
        Self::Release,
        Self::ForkAndExec,
        Self::Identity,
        Self::Liveness,
        Self::Errors,
        Self::Capabilities,
    ];

    /// The name in reports and in the names of cases, such as `no-false-busy`.
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
            Self::Capabilities => "capabilities",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
