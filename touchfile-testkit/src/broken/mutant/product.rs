//! Which combinations of faults, triggers and scopes are mutants, and why the others are not.

use touchfile_core::LockMode::{Exclusive, Shared};

use super::Mutant;
use super::fault::{Claim, FAULTS, Fault};
use super::path_kind::PathKind;
use super::side_effect::{Op, SideEffect};
use super::site::Site;
use super::trigger::{Scope, Trigger};

/// Every trigger.
fn triggers() -> Vec<Trigger> {
    let mut triggers = vec![
        Trigger::Always,
        Trigger::OneIn(20),
        Trigger::OneIn(500),
        Trigger::Worn(64),
        Trigger::Worn(1_000),
        Trigger::AfterFailedTry,
        Trigger::AfterWait,
        Trigger::AfterGivenUpWait,
        Trigger::AfterError,
        Trigger::AfterConversion,
        Trigger::InChild,
        Trigger::InSecondChild,
        Trigger::InSecondThread,
        Trigger::InSecondRuntime,
        Trigger::WithoutRuntime,
        Trigger::Unwinding,
        Trigger::AtReader(3),
        Trigger::AtReader(16),
        Trigger::AtHandles(64),
        Trigger::Early,
    ];
    triggers.extend(PathKind::ALL.map(Trigger::OnPath));
    triggers
}

const SCOPES: [Scope; 5] = [
    Scope::All,
    Scope::Mode(Exclusive),
    Scope::Mode(Shared),
    Scope::LaterHandles,
    Scope::LaterPaths,
];

fn faults() -> Vec<Fault> {
    let mut faults: Vec<_> = FAULTS.iter().map(|row| row.0).collect();
    faults.extend(Claim::FALSE.map(Fault::Claims));
    faults.extend(Claim::ASKED_FOR.map(Fault::Hides));
    for effect in SideEffect::ALL {
        faults.extend(Op::ALL.map(|op| Fault::Does(effect, op)));
    }
    faults
}

/// All combinations, with the reason if one is left out.
pub(super) fn every() -> impl Iterator<Item = (Mutant, Option<&'static str>)> {
    faults().into_iter().flat_map(|fault| {
        triggers().into_iter().flat_map(move |trigger| {
            SCOPES.into_iter().map(move |scope| {
                let mutant = Mutant {
                    fault,
                    trigger,
                    scope,
                };
                (mutant, left_out(fault, trigger, scope))
            })
        })
    })
}

const SAME: &str = "it does what an honest backend does, or what another one here does";
const NEVER: &str = "it never comes to that";
const OFTEN: &str = "the dimension is covered by the faults that stand for their kind";
const ONE_SCOPE: &str = "the scope is covered by what is always so";
const RARE: &str = "nobody could find it in half a minute";

/// Why a combination is left out. The first reason counts.
fn left_out(fault: Fault, trigger: Trigger, scope: Scope) -> Option<&'static str> {
    scope_is_out(fault, trigger, scope)
        .or_else(|| is_nonsense(fault, trigger))
        .or_else(|| is_enough(fault, trigger))
}

fn scope_is_out(fault: Fault, trigger: Trigger, scope: Scope) -> Option<&'static str> {
    use Fault::{Grants, NeverWakes, OtherLock, Refuses, TakesExclusive, TakesShared, UnlockKeeps};
    match scope {
        Scope::All => None,
        Scope::Mode(_) if !fault.site().has_mode() => Some(NEVER),
        Scope::Mode(_) if matches!(fault, TakesShared | TakesExclusive) => Some(SAME),
        // A handle that is being opened has no mode.
        Scope::Mode(_) if fault == Fault::LostByOpening => Some(NEVER),
        Scope::Mode(Shared) if fault == Fault::ThreadRace => Some(SAME),
        // Random walks seldom reach these triggers in this mode.
        Scope::Mode(Exclusive)
            if fault == Grants
                && matches!(trigger, Trigger::Worn(_) | Trigger::AfterGivenUpWait) =>
        {
            None
        }
        Scope::Mode(Shared)
            if fault == Refuses && matches!(trigger, Trigger::Worn(_) | Trigger::AfterWait) =>
        {
            None
        }
        _ if trigger != Trigger::Always => Some(ONE_SCOPE),
        Scope::Mode(_) => None,
        Scope::LaterHandles | Scope::LaterPaths => {
            let represents = matches!(fault, Grants | Refuses | NeverWakes | UnlockKeeps)
                || (fault == OtherLock && scope == Scope::LaterHandles);
            (!represents).then_some(ONE_SCOPE)
        }
    }
}

/// Why a combination is impossible or correct.
fn is_nonsense(fault: Fault, trigger: Trigger) -> Option<&'static str> {
    let site = fault.site();
    let new = matches!(site, Site::Open | Site::Claims)
        || fault == Fault::LostByOpening
        || matches!(fault, Fault::Does(_, Op::Open | Op::AskHolders));
    match trigger {
        // A new handle has no past, and a call of the backend has no handle.
        Trigger::Worn(_)
        | Trigger::AfterFailedTry
        | Trigger::AfterWait
        | Trigger::AfterGivenUpWait
        | Trigger::AfterError
            if new =>
        {
            Some(NEVER)
        }
        Trigger::AfterConversion if site != Site::Convert => Some(OFTEN),
        // Only a drop can happen without a runtime or while a panic unwinds.
        Trigger::WithoutRuntime | Trigger::Unwinding if site != Site::Drop => Some(NEVER),
        Trigger::Early if !matches!(fault, Fault::NeverWakes | Fault::WakesLate) => Some(NEVER),
        Trigger::Unwinding if fault == Fault::DropPanics => {
            Some("a panic in a panic ends the process, whoever wrote the backend")
        }
        // A child must not convert, and has no lock.
        Trigger::InChild | Trigger::InSecondChild
            if matches!(site, Site::Convert | Site::Hold | Site::Ask) =>
        {
            Some(NEVER)
        }
        Trigger::Always if fault == Fault::OtherLock => Some(SAME),
        _ => match fault {
            Fault::SharesInChild if trigger != Trigger::InChild => Some(NEVER),
            Fault::ChildReleases if !matches!(trigger, Trigger::Always | Trigger::AfterWait) => {
                Some(OFTEN)
            }
            Fault::TakesShared | Fault::AsksAgain if matches!(trigger, Trigger::AtReader(_)) => {
                Some(NEVER)
            }
            Fault::BusyIsAnError if trigger == Trigger::AfterFailedTry => Some(SAME),
            // Giving up a wait has this trigger from the second time on.
            Fault::Does(_, Op::GiveUp) if trigger == Trigger::AfterGivenUpWait => Some(SAME),
            Fault::LostByRefusing | Fault::AsksAgain if trigger == Trigger::AfterError => {
                Some(SAME)
            }
            // The trigger makes no difference.
            Fault::ConvertsNothing if trigger != Trigger::Always => Some(SAME),
            _ => None,
        },
    }
}

/// Why a combination is not needed.
fn is_enough(fault: Fault, trigger: Trigger) -> Option<&'static str> {
    use Fault::*;
    let kind = matches!(
        fault,
        Grants | Refuses | Fails | TakesShared | NeverWakes | UnlockKeeps | DropKeeps
    );
    let out = match trigger {
        Trigger::Always => return None,
        Trigger::OneIn(500) => {
            let rare = matches!(fault, Grants | Refuses);
            return (!rare).then_some(RARE);
        }
        Trigger::OneIn(_) => match fault {
            // A run makes too few such calls for a fault that shows rarely.
            Claims(_) | Hides(_) | Does(..) | ThreadRace | Inherited | Lease => true,
            IgnoresMode | FollowsLinks | CreatesAnyway | OtherLock | ConvertsNothing => true,
            OpensAsBusy | OpensAsOther | OpensAsBusyElse | OpensAsOtherElse => true,
            _ => false,
        },
        Trigger::Worn(64) => matches!(fault, Does(..) | ThreadRace | Blocks | TryWaits),
        Trigger::Worn(_) => !kind,
        Trigger::AfterFailedTry | Trigger::AfterWait | Trigger::AfterGivenUpWait => match fault {
            Does(effect, _) => {
                !matches!(effect, SideEffect::Truncates | SideEffect::LeaksDescriptor)
            }
            ThreadRace => true,
            _ => false,
        },
        Trigger::AfterError => !kind,
        Trigger::InChild => {
            !(kind || matches!(fault, SharesInChild | HoldsNothing | ReleasesLate | Blocks))
        }
        Trigger::InSecondChild => !matches!(fault, Grants | HoldsNothing | NeverWakes | Refuses),
        Trigger::InSecondThread => match fault {
            Does(effect, op) => effect != SideEffect::LeaksDescriptor || op == Op::AskHolders,
            Claims(_) | Hides(_) | ThreadRace => true,
            _ => false,
        },
        Trigger::InSecondRuntime => !matches!(
            fault,
            Grants
                | Fails
                | NeverWakes
                | WakesLate
                | GivesUp
                | UnlockKeeps
                | DropKeeps
                | TakesLater
                | Refuses
        ),
        Trigger::WithoutRuntime | Trigger::Unwinding => {
            matches!(fault, Does(effect, _) if effect != SideEffect::LeaksDescriptor)
                || fault == ChildReleases
        }
        Trigger::OnPath(PathKind::DotDot | PathKind::LinkedDirectory) => !matches!(
            fault,
            Grants
                | Refuses
                | Fails
                | OtherLock
                | NeverWakes
                | UnlockKeeps
                | NeverCurrent
                | AlwaysCurrent
                | IgnoresMode
        ),
        Trigger::OnPath(PathKind::LongName | PathKind::OddName) => !matches!(
            fault,
            Grants | Fails | OtherLock | NeverWakes | NeverCurrent
        ),
        Trigger::OnPath(PathKind::SecondName) => !matches!(
            fault,
            Grants | Fails | NeverWakes | UnlockKeeps | NeverCurrent
        ),
        Trigger::OnPath(PathKind::Contents) => match fault {
            Does(effect, _) => !matches!(effect, SideEffect::Truncates),
            _ => !matches!(fault, Grants | Fails | OtherLock),
        },
        Trigger::OnPath(PathKind::ReadOnly) => !matches!(fault, Grants | Fails | OtherLock),
        Trigger::AtReader(_) => {
            !matches!(fault, Grants | Refuses | HoldsNothing | UnlockKeeps | Fails)
        }
        Trigger::AtHandles(_) => !(kind || matches!(fault, HoldsNothing | OtherLock)),
        Trigger::Early | Trigger::AfterConversion => false,
    };
    out.then_some(OFTEN)
}
