//! Which law is broken, judged by the wrong answer and what happened before.

use touchfile_core::LockMode;

use super::{Inode, Model, State};
use crate::Law;
use crate::lockstep::step::HandleId;

/// What may be the cause of a lock that is busy though no handle holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    Cancelled,
    Failed,
    Released { child_lives: bool },
}

/// How the latest lock, attempt or wait of a handle ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    Busy,
    Failed,
    GivenUp,
    Released,
}

/// A wrong answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WrongAnswer {
    /// It breaks this law.
    Breach(Blame),
    /// An attempt found the lock busy though no handle holds it. Which law that breaks depends on
    /// [how long](Model::blame_busy) the lock is busy.
    FalseBusy(Inode),
}

/// How long a lock is busy though no handle holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Busy {
    /// The next attempts succeed, so nothing can have held it.
    ForAMoment,
    /// Something holds it and releases it.
    ForAWhile,
    /// Something holds it.
    Stays,
}

/// A broken law.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Blame {
    /// The law that is broken, if all steps of the schedule matter.
    pub(crate) law: Law,
    /// The law that forbids the answer, whatever happened before. It is used if the schedule has steps
    /// that may not matter.
    pub(crate) at_sight: Law,
    pub(crate) what: String,
}

impl Blame {
    pub(crate) fn new(law: Law, what: impl Into<String>) -> Self {
        Self {
            law,
            at_sight: law,
            what: what.into(),
        }
    }
}

impl Model {
    /// The law that is broken by a lock that is busy though no handle holds it.
    pub(crate) fn blame_busy(&self, inode: Inode, busy: Busy) -> Blame {
        let events = self.events.get(&inode).map_or(&[][..], Vec::as_slice);
        let has = |event| events.contains(&event) && busy != Busy::ForAMoment;
        // All steps of a shrunk schedule matter, and the least usual one is most likely the cause.
        let (law, why) = if has(Event::Released { child_lives: true }) {
            (
                Law::ForkAndExec,
                "a child prolongs a lock that was released",
            )
        } else if has(Event::Failed) {
            let why = "a call that failed took it, or left something behind that did";
            (Law::AcquiredMeansAcquired, why)
        } else if has(Event::Cancelled) {
            let why = "a wait that was given up took it, or left something behind that did";
            (Law::AcquiredMeansAcquired, why)
        } else if has(Event::Released { child_lives: false }) {
            (Law::Release, "a lock that was released is not free")
        } else {
            (Law::NoFalseBusy, "nothing explains it")
        };
        let seen = match busy {
            Busy::ForAMoment => "it said \"busy\"",
            Busy::ForAWhile => "it said \"busy\" for a while",
            Busy::Stays => "the lock cannot be had, and stays so",
        };
        Blame::new(
            law,
            format!("{seen}, but nobody holds a conflicting lock: {why}"),
        )
    }

    /// The law that is broken by an idle handle that has a lock, as the lock is free once the handle is
    /// dropped.
    pub(crate) fn blame_keeper(&self, id: HandleId) -> Option<Blame> {
        let (law, why) = match self.handles.get(&id)?.ended? {
            Ended::Busy => (Law::AcquiredMeansAcquired, "its attempt said \"busy\""),
            Ended::Failed => (Law::AcquiredMeansAcquired, "its call failed"),
            Ended::GivenUp => (Law::AcquiredMeansAcquired, "its wait was given up"),
            Ended::Released => (Law::Release, "it was unlocked"),
        };
        let HandleId { process, handle } = id;
        Some(Blame::new(
            law,
            format!("handle {handle} of process {process} has the lock, although {why}"),
        ))
    }

    /// The idle handles on a file, of processes that run.
    pub(crate) fn idle_on(&self, inode: Inode) -> Vec<HandleId> {
        let idle = self.handles.iter().filter(|(id, handle)| {
            handle.inode == inode && handle.state == State::Idle && !self.is_stopped(id.process)
        });
        idle.map(|(&id, _)| id).collect()
    }

    /// Whether a handle surely holds the lock of this file.
    pub(crate) fn is_held(&self, inode: Inode) -> bool {
        let mut handles = self.handles.values();
        handles.any(|handle| handle.inode == inode && matches!(handle.state, State::Held(_)))
    }

    /// A handle got the lock beside a holder: the handle `id`, or one that is not of the schedule.
    pub(crate) fn double_grant(
        &self,
        id: Option<HandleId>,
        inode: Option<Inode>,
        mode: LockMode,
    ) -> WrongAnswer {
        let holder = self.handles.iter().find(|(other, handle)| {
            Some(**other) != id
                && Some(handle.inode) == inode
                && matches!(handle.state, State::Held(held) if held.conflicts_with(mode))
        });
        let Some((holder, handle)) = holder else {
            unreachable!("a grant is wrong only if a conflicting lock is held");
        };
        let HandleId {
            process,
            handle: number,
        } = *holder;
        let held = match handle.state {
            State::Held(held) => held,
            _ => mode,
        };
        let law = if handle.child_dropped {
            Law::ForkAndExec
        } else {
            Law::Exclusion
        };
        WrongAnswer::Breach(Blame {
            law,
            at_sight: Law::Exclusion,
            what: format!(
                "it got the {mode} lock, but process {process} holds the {held} one, handle {number}"
            ),
        })
    }
}
