//! What the checker is checked against: the definition, by trying every order.
//!
//! Only for histories of a few calls on one file. It shares no code with the checker: not how calls
//! are read, not how moments are compared.

use std::collections::BTreeMap;

use touchfile_core::LockMode;

use crate::free::history::{History, Record};
use crate::free::log::{Call, Outcome};

/// Something that happened at one moment between two times.
#[derive(Clone, Copy, Debug)]
struct Point {
    from: u64,
    to: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Take(usize, LockMode),
    LetGo(usize),
    FindBusy(LockMode),
}

/// Whether the calls can be put in an order that obeys the rules of a lock, and in which a call
/// comes before another if it was over before that began.
pub(super) fn linearizable(history: &History) -> bool {
    let mut sure = Vec::new();
    let mut optional: Vec<Vec<Point>> = Vec::new();
    let mut held: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for (id, record) in history.calls.iter().enumerate() {
        let Record {
            process,
            task,
            call,
            invoked_ns: from,
            ..
        } = *record;
        let to = record.answer.as_ref().map_or(u64::MAX, |(to, _)| *to);
        let point = |what| Point { from, to, what };
        let outcome = record.answer.as_ref().map(|(_, outcome)| outcome);
        match (call, outcome) {
            (Call::Try(mode), Some(Outcome::WouldBlock)) => sure.push(point(What::FindBusy(mode))),
            (Call::Try(mode) | Call::Lock(mode, _), Some(Outcome::Acquired)) => {
                held.insert((process, task), id);
                sure.push(point(What::Take(id, mode)));
            }
            (Call::Try(mode) | Call::Lock(mode, _), None) => {
                optional.push(vec![point(What::Take(id, mode))]);
            }
            (Call::Lock(mode, _), Some(_)) => {
                optional.push(vec![point(What::Take(id, mode)), point(What::LetGo(id))]);
            }
            (Call::Unlock | Call::Drop, answer) => {
                let Some(id) = held.remove(&(process, task)) else {
                    continue;
                };
                if answer.is_some() {
                    sure.push(point(What::LetGo(id)));
                } else {
                    optional.push(vec![point(What::LetGo(id))]);
                }
            }
            _ => {}
        }
    }
    (0..1_u32 << optional.len()).any(|choice| {
        let chosen = optional.iter().enumerate();
        let chosen = chosen.filter(|(bit, _)| choice & (1 << bit) != 0);
        let mut points = sure.clone();
        points.extend(chosen.flat_map(|(_, points)| points));
        in_some_order(&mut points, &[])
    })
}

fn in_some_order(left: &mut Vec<Point>, holders: &[(usize, LockMode)]) -> bool {
    if left.is_empty() {
        return true;
    }
    for index in 0..left.len() {
        let next = left[index];
        if left.iter().any(|other| other.to < next.from) {
            continue;
        }
        let mut after = holders.to_vec();
        let conflict = |mode| holders.iter().any(|(_, held)| held.conflicts_with(mode));
        let possible = match next.what {
            What::Take(id, mode) => {
                after.push((id, mode));
                !conflict(mode)
            }
            What::LetGo(id) => {
                after.retain(|(held, _)| *held != id);
                after.len() < holders.len()
            }
            What::FindBusy(mode) => conflict(mode),
        };
        if possible {
            left.remove(index);
            if in_some_order(left, &after) {
                return true;
            }
            left.insert(index, next);
        }
    }
    false
}
