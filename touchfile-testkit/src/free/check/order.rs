//! Whether all answers "busy" can be explained together: a search for an order of the calls.
//!
//! The search goes through the history once and keeps every state that the lock can be in. A state
//! says of each hold under way whether it is not yet taken, held or over, and of each attempt under way
//! whether a conflicting hold has existed since the attempt began. When a call is answered, the states
//! that contradict the answer are removed. If no state is left, no order of the calls explains the
//! answers so far (the just-in-time algorithm of Lowe, "Testing for linearizability", 2017).
//!
//! In these states calls take effect as late as possible, just before an answer that needs it. This
//! loses nothing, because the beginning of a call only adds possibilities.

use std::collections::HashSet;

use super::blame::Releases;
use super::claims::{Busy, Claims, Hold, NEVER_NS};
use super::{Findings, Law};

/// With more states than this the search ends without a verdict, and only the rules on intervals judge
/// the history.
const MOST_STATES: usize = 20_000;

/// The greatest number of holds, and of attempts, that are under way at once: the number of bits in a
/// field of [`State`].
const SLOTS: usize = 32;

/// Searches for an order that explains all of `judged`, and reports where that fails.
///
/// Does nothing if holds were found to overlap, since these have no order.
pub(super) fn busy(file: u32, claims: &Claims, judged: &[Busy], found: &mut Findings<'_>) {
    if found.has(Law::Exclusion, file) {
        return;
    }
    // The rules on intervals cannot judge a hold whose process was killed during the acquisition, so
    // exclusion can also be broken here.
    if let Some(failure) = search(&claims.holds, &[]) {
        let meaning = "a handle got the lock beside another holder";
        report(Law::Exclusion, file, claims, &failure, meaning, found);
    } else if found.has(Law::Release, file) {
        // The failed release has been reported.
    } else if let Some(failure) = search(&claims.holds, judged) {
        let law = match Releases::new(claims).are_in_doubt() {
            true => Law::Release,
            false => Law::NoFalseBusy,
        };
        let meaning = "an attempt was answered \"busy\" while the lock was free";
        report(law, file, claims, &failure, meaning, found);
    }
}

fn report(
    law: Law,
    file: u32,
    claims: &Claims,
    failure: &Failure,
    meaning: &str,
    found: &mut Findings<'_>,
) {
    let holds = failure.holds.iter().map(|&hold| claims.holds[hold].call);
    let calls: Vec<usize> = holds.chain(failure.busy.iter().copied()).collect();
    let at = found.us(failure.at_ns);
    found.add(law, file, &calls, || {
        format!(
            "on file {file}, no order of these calls, nor of those before, explains all answers \
             until {at}: {meaning}"
        )
    });
}

/// The calls under way when the last state was ruled out.
struct Failure {
    at_ns: u64,
    /// As indices of holds.
    holds: Vec<usize>,
    /// As indices of calls.
    busy: Vec<usize>,
}

fn search(holds: &[Hold], busy: &[Busy]) -> Option<Failure> {
    let mut search = Search {
        holds,
        busy,
        hold_slots: [None; SLOTS],
        may_end: 0,
        busy_slots: [None; SLOTS],
        recent: Vec::new(),
        states: HashSet::from([State::default()]),
        stale: false,
    };
    for (at_ns, _, step) in steps(holds, busy) {
        match search.take(step) {
            Progress::Possible => {}
            Progress::Impossible => {
                return Some(Failure {
                    at_ns,
                    holds: search.hold_slots.into_iter().flatten().collect(),
                    busy: search
                        .recent
                        .iter()
                        .map(|&recent| busy[recent].call)
                        .collect(),
                });
            }
            Progress::TooMany => return None,
        }
    }
    None
}

/// One event of the history. The numbers are indices.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Step {
    HoldMayBegin(usize),
    HoldMayEnd(usize),
    BusyBegins(usize),
    /// It was answered with "acquired".
    HoldHasBegun(usize),
    BusyEnds(usize),
    /// It is over, or has never begun.
    HoldIsOver(usize),
}

/// All steps in order. Of steps at the same time, those that add possibilities come first, because calls
/// at the same time have no order.
fn steps(holds: &[Hold], busy: &[Busy]) -> Vec<(u64, bool, Step)> {
    let mut steps = Vec::with_capacity(4 * holds.len() + 2 * busy.len());
    for (index, hold) in holds.iter().enumerate() {
        steps.push((hold.asked_ns, false, Step::HoldMayBegin(index)));
        steps.push((hold.may_end_ns, false, Step::HoldMayEnd(index)));
        if let Some(at_ns) = hold.acquired_ns {
            steps.push((at_ns, true, Step::HoldHasBegun(index)));
        }
        steps.push((hold.over_ns, true, Step::HoldIsOver(index)));
    }
    for (index, busy) in busy.iter().enumerate() {
        steps.push((busy.asked_ns, false, Step::BusyBegins(index)));
        steps.push((busy.answered_ns, true, Step::BusyEnds(index)));
    }
    steps.retain(|(at_ns, ..)| *at_ns != NEVER_NS);
    steps.sort_unstable();
    steps
}

enum Progress {
    Possible,
    Impossible,
    TooMany,
}

/// One state that the lock can be in. Bit n of each field is about slot n.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct State {
    held: u32,
    over: u32,
    explained: u32,
}

struct Search<'a> {
    holds: &'a [Hold],
    busy: &'a [Busy],
    /// The hold of each slot.
    hold_slots: [Option<usize>; SLOTS],
    /// The slots whose hold may be over.
    may_end: u32,
    /// The attempt of each slot.
    busy_slots: [Option<usize>; SLOTS],
    /// The last attempts that were answered, for the trace.
    recent: Vec<usize>,
    states: HashSet<State>,
    /// Whether a call has begun whose effects have not been added to the states.
    stale: bool,
}

impl Search<'_> {
    fn take(&mut self, step: Step) -> Progress {
        match step {
            Step::HoldMayBegin(hold) => {
                let Some(slot) = self.hold_slots.iter().position(Option::is_none) else {
                    return Progress::TooMany;
                };
                self.hold_slots[slot] = Some(hold);
                self.stale = true;
                return Progress::Possible;
            }
            Step::HoldMayEnd(hold) => {
                self.may_end |= 1 << self.slot_of(hold);
                self.stale = true;
                return Progress::Possible;
            }
            Step::BusyBegins(busy) => return self.begin_busy(busy),
            Step::HoldHasBegun(_) | Step::BusyEnds(_) | Step::HoldIsOver(_) => {}
        }
        if self.stale && !self.explore() {
            return Progress::TooMany;
        }
        self.stale = false;
        match step {
            Step::HoldHasBegun(hold) => {
                let bit = 1 << self.slot_of(hold);
                self.states
                    .retain(|state| (state.held | state.over) & bit != 0);
            }
            Step::HoldIsOver(hold) => self.end_hold(hold),
            Step::BusyEnds(busy) => self.end_busy(busy),
            Step::HoldMayBegin(_) | Step::HoldMayEnd(_) | Step::BusyBegins(_) => {}
        }
        if self.states.is_empty() {
            Progress::Impossible
        } else {
            Progress::Possible
        }
    }

    fn end_hold(&mut self, hold: usize) {
        let slot = self.slot_of(hold);
        let bit = 1 << slot;
        self.states = self
            .states
            .iter()
            .filter(|state| state.held & bit == 0)
            .map(|state| State {
                over: state.over & !bit,
                ..*state
            })
            .collect();
        if !self.states.is_empty() {
            self.hold_slots[slot] = None;
        }
        self.may_end &= !bit;
    }

    fn begin_busy(&mut self, busy: usize) -> Progress {
        let Some(slot) = self.busy_slots.iter().position(Option::is_none) else {
            return Progress::TooMany;
        };
        self.busy_slots[slot] = Some(busy);
        self.stale = true;
        let states = std::mem::take(&mut self.states);
        self.states = states
            .into_iter()
            .map(|state| self.explain(state))
            .collect();
        Progress::Possible
    }

    fn end_busy(&mut self, busy: usize) {
        let slot = self.busy_slots.iter().position(|at| *at == Some(busy));
        let slot = slot.expect("an attempt begins before it ends");
        let bit = 1 << slot;
        self.states = self
            .states
            .iter()
            .filter(|state| state.explained & bit != 0)
            .map(|state| State {
                explained: state.explained & !bit,
                ..*state
            })
            .collect();
        self.busy_slots[slot] = None;
        if self.recent.len() == 3 {
            self.recent.remove(0);
        }
        self.recent.push(busy);
    }

    /// Adds all states that calls under way can lead to. Returns false if there are too many.
    fn explore(&mut self) -> bool {
        let mut new: Vec<State> = self.states.iter().copied().collect();
        while let Some(state) = new.pop() {
            for (slot, hold) in self.hold_slots.iter().enumerate() {
                let Some(hold) = *hold else { continue };
                let bit = 1 << slot;
                let next = if state.held & bit != 0 {
                    if self.may_end & bit == 0 {
                        continue;
                    }
                    State {
                        held: state.held & !bit,
                        over: state.over | bit,
                        ..state
                    }
                } else if state.over & bit != 0 || self.conflicting(state, hold) {
                    continue;
                } else {
                    self.explain(State {
                        held: state.held | bit,
                        ..state
                    })
                };
                if self.states.insert(next) {
                    new.push(next);
                }
            }
            if self.states.len() > MOST_STATES {
                return false;
            }
        }
        true
    }

    fn conflicting(&self, state: State, hold: usize) -> bool {
        let mode = self.holds[hold].mode;
        self.held(state)
            .any(|other| self.holds[other].mode.conflicts_with(mode))
    }

    /// Marks as explained each attempt that meets a conflicting holder. This never rules out an order.
    fn explain(&self, mut state: State) -> State {
        for (slot, busy) in self.busy_slots.iter().enumerate() {
            let Some(busy) = *busy else { continue };
            let mode = self.busy[busy].mode;
            if self
                .held(state)
                .any(|hold| self.holds[hold].mode.conflicts_with(mode))
            {
                state.explained |= 1 << slot;
            }
        }
        state
    }

    fn held(&self, state: State) -> impl Iterator<Item = usize> {
        let slots = self.hold_slots.iter().enumerate();
        slots.filter_map(move |(slot, hold)| hold.filter(|_| state.held & (1 << slot) != 0))
    }

    fn slot_of(&self, hold: usize) -> usize {
        let slot = self.hold_slots.iter().position(|at| *at == Some(hold));
        slot.expect("a hold is possible before it is certain or over")
    }
}
