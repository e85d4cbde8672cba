//! Which law is broken: what is seen, together with what happened before.

use touchfile_core::LockMode;

use super::{Inode, Model, State};
use crate::Law;
use crate::lockstep::step::HandleId;

/// What may be why a lock is still held though nobody holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    Cancelled,
    Failed,
    Released { child_lives: bool },
}

/// A law was broken, or may have been.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Doubt {
    /// Certainly.
    Breach(Blame),
    /// An attempt said "busy" with nobody holding. Which law that breaks depends on
    /// [for how long](Model::blame_busy) it does.
    FalseBusy(Inode),
}

/// For how long a lock is busy though nobody holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Busy {
    /// The next attempts succeed: nothing can have held it.
    ForAMoment,
    /// Something holds it and lets go of it.
    ForAWhile,
    /// Something holds it.
    Stays,
}

/// A broken law.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Blame {
    /// In a schedule with nothing in it that does not matter.
    pub(crate) law: Law,
    /// In any other: the law that forbids what was seen, whatever happened before.
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
    /// Which law is broken by a lock that could not be had though nobody holds it.
    pub(crate) fn blame_busy(&self, inode: Inode, busy: Busy) -> Blame {
        let events = self.events.get(&inode).map_or(&[][..], Vec::as_slice);
        let has = |event| events.contains(&event) && busy != Busy::ForAMoment;
        // A schedule that was shrunk has nothing in it that does not matter: the less usual a
        // thing is, the more likely it is to blame.
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

    /// Whether somebody surely holds the lock of this file.
    pub(crate) fn is_held(&self, inode: Inode) -> bool {
        let mut handles = self.handles.values();
        handles.any(|handle| handle.inode == inode && matches!(handle.state, State::Held(_)))
    }

    /// Somebody was let in beside a holder: the handle `id`, or one that is not of the schedule.
    pub(crate) fn double_grant(
        &self,
        id: Option<HandleId>,
        inode: Option<Inode>,
        mode: LockMode,
    ) -> Doubt {
        let holder = self.handles.iter().find(|(other, handle)| {
            Some(**other) != id
                && Some(handle.inode) == inode
                && matches!(handle.state, State::Held(held) if held.conflicts_with(mode))
        });
        let Some((holder, handle)) = holder else {
            unreachable!("a grant is wrong only where somebody holds a conflicting lock");
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
        Doubt::Breach(Blame {
            law,
            at_sight: Law::Exclusion,
            what: format!(
                "it got the {mode} lock, but process {process} holds the {held} one, handle {number}"
            ),
        })
    }
}
