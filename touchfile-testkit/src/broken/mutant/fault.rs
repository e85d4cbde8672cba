//! The faults of mutants, without their triggers.

use super::side_effect::{Op, SideEffect};
use super::site::Site;
use crate::Law;

/// One way to be wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Fault {
    // Attempts and waits.
    Grants,
    TakesShared,
    TakesExclusive,
    HoldsNothing,
    OtherLock,
    Refuses,
    Fails,
    BusyIsAnError,
    FailsHolding,
    BusyHolding,
    TryWaits,
    AsksAgain,
    SharesInChild,
    ThreadRace,
    // Waits.
    NeverWakes,
    WakesLate,
    GivesUp,
    Blocks,
    TakesLater,
    KeepsAfterGivingUp,
    SlowToGiveUp,
    // What is held.
    Lease,
    LostByAsking,
    LostByRefusing,
    LostByOpening,
    // Releases.
    UnlockKeeps,
    DropKeeps,
    UnlockFails,
    UnlockPanics,
    DropPanics,
    ReleasesLate,
    ReleasesOthers,
    ChildReleases,
    Inherited,
    // Answers.
    AlwaysCurrent,
    NeverCurrent,
    CurrentFails,
    SaysLost,
    LostFails,
    GhostHolder,
    HoldersFail,
    ClaimsChange,
    // Opening.
    OpensAsBusy,
    OpensAsBusyElse,
    OpensAsOther,
    OpensAsOtherElse,
    CreatesAnyway,
    FollowsLinks,
    IgnoresMode,
    LeaksFailedOpen,
    // Conversions.
    UpgradeGrants,
    UpgradeRefuses,
    UpgradeLoses,
    UpgradeStaysShared,
    UpgradeFails,
    UpgradeWaits,
    DowngradeLoses,
    DowngradeKeeps,
    DowngradeGap,
    ConvertsNothing,
    // Claims.
    Claims(Claim),
    Hides(Claim),
    /// A call has a side effect.
    Does(SideEffect, Op),
}

/// A capability.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Claim {
    Conversion,
    ExcludesFcntl,
    ExcludesFlock,
    Fair,
    Identity,
    ReadOnly,
    Removal,
    Shared,
}

use Law::{
    AcquiredMeansAcquired, CancelSafety, Capabilities, Errors, Exclusion, ForkAndExec, Identity,
    Liveness, NoFalseBusy, Release,
};

/// All faults except claims and side effects: the name, a sentence, the site, and the laws that a suite
/// may name. The first law is the one that it breaks.
#[rustfmt::skip]
pub(super) const FAULTS: &[(Fault, &str, &str, Site, &[Law])] = &[
    (Fault::Grants, "grants", "an attempt or wait that finds the lock held is answered \"acquired\"", Site::Acquire, &[Exclusion]),
    (Fault::TakesShared, "takes-shared", "an exclusive lock is taken as a shared one", Site::Acquire, &[Exclusion]),
    (Fault::TakesExclusive, "takes-exclusive", "a shared lock is taken as an exclusive one", Site::Acquire, &[NoFalseBusy]),
    (Fault::HoldsNothing, "holds-nothing", "a lock that was granted is given up at once", Site::Acquire, &[Exclusion]),
    (Fault::OtherLock, "other-lock", "the handle locks another file than the one it was opened on", Site::Open, &[Exclusion, Identity, NoFalseBusy]),
    (Fault::Refuses, "refuses", "an attempt says \"busy\" of a free lock", Site::Acquire, &[NoFalseBusy]),
    (Fault::Fails, "fails", "an attempt or wait fails for no reason", Site::Acquire, &[Errors]),
    (Fault::BusyIsAnError, "busy-is-an-error", "an attempt that finds the lock held fails", Site::Acquire, &[Errors]),
    (Fault::FailsHolding, "fails-holding", "an attempt that could have the lock fails, and has it", Site::Acquire, &[AcquiredMeansAcquired, Errors]),
    (Fault::BusyHolding, "busy-holding", "an attempt that could have the lock says \"busy\", and has it", Site::Acquire, &[AcquiredMeansAcquired, NoFalseBusy]),
    (Fault::TryWaits, "try-waits", "an attempt that finds the lock held takes 700 ms", Site::Acquire, &[Liveness]),
    (Fault::AsksAgain, "asks-again", "a handle that holds the lock grants it again", Site::Acquire, &[Exclusion, Errors]),
    (Fault::SharesInChild, "shares-in-child", "the children of a process have one lock, and it has it too", Site::Acquire, &[Exclusion, ForkAndExec]),
    (Fault::ThreadRace, "thread-race", "the exclusive locks of a process exclude each other by a load and a store", Site::Acquire, &[Exclusion]),
    (Fault::NeverWakes, "never-wakes", "a wait never ends", Site::Wait, &[Liveness, CancelSafety]),
    (Fault::WakesLate, "wakes-late", "a waiter tries again after eight seconds", Site::Wait, &[Liveness, CancelSafety]),
    (Fault::GivesUp, "gives-up", "a wait fails after 20 ms", Site::Wait, &[Errors]),
    (Fault::Blocks, "blocks", "a wait blocks its thread", Site::Wait, &[CancelSafety, Liveness]),
    (Fault::TakesLater, "takes-later", "a wait that was given up goes on in a thread, takes the lock and keeps it for 60 ms", Site::Wait, &[AcquiredMeansAcquired, CancelSafety]),
    (Fault::KeepsAfterGivingUp, "keeps-after-giving-up", "a wait that is given up when it could have the lock has it from then on", Site::Wait, &[AcquiredMeansAcquired, CancelSafety]),
    (Fault::SlowToGiveUp, "slow-to-give-up", "giving up a wait takes 700 ms", Site::Wait, &[CancelSafety]),
    (Fault::Lease, "lease", "the lock is lost 400 ms after it was taken", Site::Hold, &[Exclusion]),
    (Fault::LostByAsking, "lost-by-asking", "the question whether it is current costs the lock", Site::Hold, &[Exclusion, Identity]),
    (Fault::LostByRefusing, "lost-by-refusing", "a handle that refuses to be asked again has lost its lock", Site::Hold, &[Exclusion]),
    (Fault::LostByOpening, "lost-by-opening", "opening another handle on the file costs those of the process their locks", Site::Hold, &[Exclusion]),
    (Fault::UnlockKeeps, "unlock-keeps", "unlocking does nothing", Site::Unlock, &[Release]),
    (Fault::DropKeeps, "drop-keeps", "dropping the handle leaves the lock held", Site::Drop, &[Release]),
    (Fault::UnlockFails, "unlock-fails", "unlocking fails, though it has unlocked", Site::Unlock, &[Errors, Release]),
    (Fault::UnlockPanics, "unlock-panics", "unlocking panics", Site::Unlock, &[Release, Errors]),
    (Fault::DropPanics, "drop-panics", "dropping the handle panics", Site::Drop, &[Release]),
    (Fault::ReleasesLate, "releases-late", "unlocking returns 250 ms before the lock is free", Site::Unlock, &[Release]),
    (Fault::ReleasesOthers, "releases-others", "unlocking releases all locks of the process on this file", Site::Unlock, &[Exclusion, Release]),
    (Fault::ChildReleases, "child-releases", "dropping a copy of the handle in a forked child releases the lock", Site::Drop, &[ForkAndExec]),
    (Fault::Inherited, "inherited", "an executed program inherits the lock", Site::Hold, &[ForkAndExec]),
    (Fault::AlwaysCurrent, "always-current", "a handle calls itself current whatever its path names", Site::Ask, &[Identity]),
    (Fault::NeverCurrent, "never-current", "a handle calls itself not current though it is", Site::Ask, &[Identity]),
    (Fault::CurrentFails, "current-fails", "the question whether a handle is current fails", Site::Ask, &[Errors, Identity]),
    (Fault::SaysLost, "says-lost", "a held lock is reported as lost", Site::Ask, &[AcquiredMeansAcquired]),
    (Fault::LostFails, "lost-fails", "the question whether the lock was lost fails", Site::Ask, &[Errors]),
    (Fault::GhostHolder, "ghost-holder", "process 1 is reported as a holder", Site::Claims, &[NoFalseBusy]),
    (Fault::HoldersFail, "holders-fail", "the question who holds the lock fails", Site::Claims, &[Errors]),
    (Fault::ClaimsChange, "claims-change", "the claims change", Site::Claims, &[Capabilities]),
    (Fault::OpensAsBusy, "opens-as-busy", "an open that fails says that it would block", Site::Open, &[Errors]),
    (Fault::OpensAsBusyElse, "opens-as-busy-else", "an open that fails for another reason than a missing or wrong directory says that it would block", Site::Open, &[Errors]),
    (Fault::OpensAsOther, "opens-as-other", "an open that fails does not say why", Site::Open, &[Errors]),
    (Fault::OpensAsOtherElse, "opens-as-other-else", "an open that fails for another reason than a missing or wrong directory does not say why", Site::Open, &[Errors]),
    (Fault::CreatesAnyway, "creates-anyway", "a missing file is created that was not to be", Site::Open, &[Errors, Capabilities]),
    (Fault::FollowsLinks, "follows-links", "links are followed that were not to be", Site::Open, &[Errors]),
    (Fault::IgnoresMode, "ignores-mode", "the mode of a new file is not the one that was asked for", Site::Open, &[Capabilities]),
    (Fault::LeaksFailedOpen, "leaks-failed-open", "an open that fails leaves a descriptor", Site::Open, &[AcquiredMeansAcquired, Errors, CancelSafety]),
    (Fault::UpgradeGrants, "upgrade-grants", "an upgrade succeeds beside a reader", Site::Convert, &[Exclusion]),
    (Fault::UpgradeRefuses, "upgrade-refuses", "an upgrade answers \"busy\" though no other handle shares the lock", Site::Convert, &[NoFalseBusy]),
    (Fault::UpgradeLoses, "upgrade-loses", "an upgrade that says \"busy\" has lost the shared lock", Site::Convert, &[Exclusion]),
    (Fault::UpgradeStaysShared, "upgrade-stays-shared", "an upgraded lock is still a shared one", Site::Convert, &[Exclusion]),
    (Fault::UpgradeFails, "upgrade-fails", "an upgrade fails for no reason", Site::Convert, &[Errors]),
    (Fault::UpgradeWaits, "upgrade-waits", "an upgrade takes 700 ms if there is another reader", Site::Convert, &[Liveness]),
    (Fault::DowngradeLoses, "downgrade-loses", "a lock that was made shared is not held", Site::Convert, &[Exclusion]),
    (Fault::DowngradeKeeps, "downgrade-keeps", "a lock that was made shared is still exclusive", Site::Convert, &[NoFalseBusy, Liveness]),
    (Fault::DowngradeGap, "downgrade-gap", "a lock is made shared by giving it up for 300 µs", Site::Convert, &[Exclusion]),
    (Fault::ConvertsNothing, "converts-nothing", "a handle that holds nothing lets itself be converted", Site::Convert, &[Capabilities, Errors]),
];

impl Claim {
    pub(super) const FALSE: [Self; 8] = [
        Self::Conversion,
        Self::ExcludesFcntl,
        Self::ExcludesFlock,
        Self::Fair,
        Self::Identity,
        Self::ReadOnly,
        Self::Removal,
        Self::Shared,
    ];
    /// The claims for features that can be asked for. A backend may keep any other without claiming it.
    pub(super) const ASKED_FOR: [Self; 4] = [
        Self::Conversion,
        Self::Identity,
        Self::Removal,
        Self::Shared,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Conversion => "atomic-conversion",
            Self::ExcludesFcntl => "excludes-fcntl",
            Self::ExcludesFlock => "excludes-flock",
            Self::Fair => "fair",
            Self::Identity => "identity",
            Self::ReadOnly => "exclusive-read-only",
            Self::Removal => "remove-on-release",
            Self::Shared => "shared",
        }
    }
}

impl Fault {
    pub(super) fn name(self) -> String {
        match self {
            Self::Claims(claim) => format!("claims-{}", claim.name()),
            Self::Hides(claim) => format!("hides-{}", claim.name()),
            Self::Does(effect, op) => format!("{}-{}", effect.name(), op.name()),
            _ => self.row().1.to_owned(),
        }
    }

    pub(super) fn what(self) -> String {
        match self {
            Self::Claims(claim) => format!("`{}` is claimed, and not kept", claim.name()),
            Self::Hides(claim) => format!("`{}` is not claimed, and not refused", claim.name()),
            Self::Does(effect, op) => format!("{} {}", op.what(), effect.what()),
            _ => self.row().2.to_owned(),
        }
    }

    pub(super) fn site(self) -> Site {
        match self {
            Self::Claims(_) | Self::Hides(_) => Site::Claims,
            Self::Does(_, op) => op.site(),
            _ => self.row().3,
        }
    }

    pub(super) fn laws(self) -> &'static [Law] {
        match self {
            // Fairness is a matter of liveness too, and a claim of identity one of errors.
            Self::Claims(Claim::Fair) => &[Capabilities, Liveness],
            Self::Claims(Claim::Identity) => &[Capabilities, Errors, Identity],
            Self::Claims(_) | Self::Hides(_) => &[Capabilities],
            Self::Does(effect, op) => effect.laws(op),
            _ => self.row().4,
        }
    }

    fn row(self) -> &'static (Fault, &'static str, &'static str, Site, &'static [Law]) {
        let row = FAULTS.iter().find(|row| row.0 == self);
        row.expect("every fault that is neither a claim nor a effect has a row")
    }
}
