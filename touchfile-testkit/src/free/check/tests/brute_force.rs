//! The definition of a right history, by trying every order.
//!
//! It can judge histories of a few calls on one file. It shares no code with the checker, not even for
//! reading calls or comparing times.

use std::collections::BTreeMap;

use touchfile_core::LockMode;

use crate::free::history::{History, Record};
use crate::free::log::{Call, Outcome};

/// An event that took place at one moment between two times.
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
///
/// A killed process releases its locks at any time after it was killed, because the grace is longer than
/// these histories.
pub(super) fn linearizable(history: &History) -> bool {
    let mut sure = Vec::new();
    // One alternative of each of these has taken place, or none.
    let mut maybe: Vec<Vec<Vec<Point>>> = Vec::new();
    let mut held: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for (id, record) in history.calls.iter().enumerate() {
        let Record {
            process,
            task,
            call,
            invoked_ns: from,
            ..
        } = *record;
        let killed = history.deaths.get(&process).map(|death| death.invoked_ns);
        let to = record.answer.as_ref().map_or(u64::MAX, |(to, _)| *to);
        let point = |what| Point { from, to, what };
        let let_go = |id, to| Point {
            from: from.min(killed.unwrap_or(from)),
            to,
            what: What::LetGo(id),
        };
        let outcome = record.answer.as_ref().map(|(_, outcome)| outcome);
        match (call, outcome) {
            (Call::Try(mode), Some(Outcome::WouldBlock)) => sure.push(point(What::FindBusy(mode))),
            (Call::Try(mode) | Call::Lock(mode, _), Some(Outcome::Acquired)) => {
                held.insert((process, task), id);
                sure.push(point(What::Take(id, mode)));
            }
            (Call::Try(mode) | Call::Lock(mode, _), None) => {
                let take = point(What::Take(id, mode));
                let mut alternatives = vec![vec![take]];
                if let Some(killed) = killed {
                    let from = from.max(killed);
                    alternatives.push(vec![
                        take,
                        Point {
                            from,
                            ..let_go(id, u64::MAX)
                        },
                    ]);
                }
                maybe.push(alternatives);
            }
            (Call::Lock(mode, _), Some(_)) => {
                maybe.push(vec![vec![
                    point(What::Take(id, mode)),
                    point(What::LetGo(id)),
                ]]);
            }
            (Call::Unlock | Call::Drop, answer) => {
                let Some(id) = held.remove(&(process, task)) else {
                    continue;
                };
                if answer.is_some() {
                    sure.push(let_go(id, to));
                } else {
                    maybe.push(vec![vec![let_go(id, to)]]);
                }
            }
            _ => {}
        }
    }
    for ((process, _), id) in held {
        if let Some(death) = history.deaths.get(&process) {
            let (from, to) = (death.invoked_ns, u64::MAX);
            let what = What::LetGo(id);
            maybe.push(vec![vec![Point { from, to, what }]]);
        }
    }
    with_alternatives(&mut sure, &maybe)
}

fn with_alternatives(points: &mut Vec<Point>, maybe: &[Vec<Vec<Point>>]) -> bool {
    let Some((alternatives, rest)) = maybe.split_first() else {
        return in_some_order(&mut points.clone(), &[]);
    };
    if with_alternatives(points, rest) {
        return true;
    }
    alternatives.iter().any(|chosen| {
        let before = points.len();
        points.extend(chosen);
        let possible = with_alternatives(points, rest);
        points.truncate(before);
        possible
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
