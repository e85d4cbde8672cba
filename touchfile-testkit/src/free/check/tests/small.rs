//! Small histories of one file, which are right or have false answers.

use proptest::prelude::*;
use touchfile_core::LockMode::{self, Exclusive, Shared};

use crate::free::history::{History, Record};
use crate::free::log::{Call, Outcome, WaitLimit};

/// One call. The calls are in the order in which they take effect.
#[derive(Clone, Debug)]
struct Step {
    task: u32,
    exclusive: bool,
    kind: Kind,
    /// Whether the answer is false.
    lie: bool,
    /// How long before its effect the call is made, and how long after its effect it is answered.
    before: u64,
    after: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Cancel,
    Lock,
    Try,
    Unanswered,
}

/// Histories of up to `calls` calls by up to four tasks.
///
/// The calls take effect one by one, ten units of time apart, and are answered truly except for the
/// false answers. Then the times of call and answer are moved away from the effect, so that calls
/// overlap and some false answers become possible. In some histories the first process is killed.
pub(super) fn histories(calls: usize) -> impl Strategy<Value = History> {
    let kind = prop_oneof![
        5 => Just(Kind::Try),
        3 => Just(Kind::Lock),
        2 => Just(Kind::Cancel),
        1 => Just(Kind::Unanswered),
    ];
    let width = prop_oneof![2 => 0..8_u64, 3 => 0..60_u64];
    let lie = prop::bool::weighted(0.4);
    let step = (0..4_u32, any::<bool>(), kind, lie, width.clone(), width);
    let step = step.prop_map(|(task, exclusive, kind, lie, before, after)| Step {
        task,
        exclusive,
        kind,
        lie,
        before,
        after,
    });
    let death = prop::option::weighted(0.3, 105..160_u64);
    let steps = prop::collection::vec(step, 1..=calls);
    (steps, death).prop_map(|(steps, death)| build(&steps, death))
}

fn build(steps: &[Step], death: Option<u64>) -> History {
    let mut history = History::new();
    let mut really: Vec<(u32, LockMode)> = Vec::new();
    let mut believed: Vec<u32> = Vec::new();
    let mut silent: Vec<u32> = Vec::new();
    for (moment, step) in (100..).step_by(10).zip(steps) {
        let task = step.task;
        // The process may have effects until its death is known.
        if death.is_some_and(|at_ns| at_ns + DYING < moment) {
            really.retain(|(holder, _)| process_of(*holder) != KILLED);
            if process_of(task) == KILLED {
                continue;
            }
        }
        if silent.contains(&task) {
            continue;
        }
        let mode = if step.exclusive { Exclusive } else { Shared };
        let free = !really.iter().any(|(_, held)| held.conflicts_with(mode));
        let (call, outcome) = if believed.contains(&task) {
            believed.retain(|holder| *holder != task);
            really.retain(|(holder, _)| *holder != task);
            let call = if step.exclusive {
                Call::Drop
            } else {
                Call::Unlock
            };
            (call, Some(Outcome::Done))
        } else {
            let granted = free != step.lie;
            match step.kind {
                Kind::Try if granted => (Call::Try(mode), Some(Outcome::Acquired)),
                Kind::Try => (Call::Try(mode), Some(Outcome::WouldBlock)),
                Kind::Lock if granted => (
                    Call::Lock(mode, WaitLimit::Unlimited),
                    Some(Outcome::Acquired),
                ),
                Kind::Lock | Kind::Cancel => (
                    Call::Lock(mode, WaitLimit::Polls(1)),
                    Some(Outcome::Cancelled),
                ),
                Kind::Unanswered => (Call::Lock(mode, WaitLimit::Unlimited), None),
            }
        };
        match outcome {
            Some(Outcome::Acquired) => {
                believed.push(task);
                really.push((task, mode));
            }
            None => {
                silent.push(task);
                if free && !step.lie {
                    really.push((task, mode));
                }
            }
            Some(_) => {}
        }
        // The last call of the task ends before its next call begins.
        let last = history.calls.iter_mut().rfind(|call| call.task == task);
        let last_ns = last.map_or(0, |last| {
            let Some((at_ns, _)) = &mut last.answer else {
                return 0;
            };
            *at_ns = (*at_ns).min(moment - 1);
            *at_ns
        });
        history.calls.push(Record {
            process: process_of(task),
            task,
            file: 0,
            call,
            invoked_ns: (moment - step.before).max(last_ns + 1),
            answer: outcome.map(|outcome| (moment + step.after, outcome)),
        });
    }
    if let Some(at_ns) = death {
        let reaped_ns = at_ns + DYING;
        history.killed(KILLED, at_ns, reaped_ns);
        for call in history
            .calls
            .iter_mut()
            .filter(|call| call.process == KILLED)
        {
            call.answer
                .take_if(|(answered_ns, _)| *answered_ns > reaped_ns);
        }
    }
    history.calls.sort_by_key(|call| call.invoked_ns);
    history
}

/// The process that may be killed, and how long its death takes.
const KILLED: u32 = 0;
const DYING: u64 = 15;

fn process_of(task: u32) -> u32 {
    task / 2
}
