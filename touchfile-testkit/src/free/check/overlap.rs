//! The rules that compare two intervals.

use touchfile_core::LockMode;

use super::blame::Releases;
use super::claims::{Busy, Claims, End, Hold};
use super::{Findings, Law};

/// Finds conflicting holds at the same time, and returns which holds those are.
pub(super) fn exclusion(file: u32, claims: &Claims, found: &mut Findings<'_>) -> Vec<bool> {
    let mut sure: Vec<(u64, u64, usize)> = claims
        .holds
        .iter()
        .enumerate()
        .filter_map(|(index, hold)| hold.sure().map(|(from, to)| (from, to, index)))
        .collect();
    sure.sort_unstable();
    let mut forced = vec![false; claims.holds.len()];
    let mut current: Vec<(u64, usize)> = Vec::new();
    for (from, to, second) in sure {
        current.retain(|(end, _)| from < *end);
        let second_hold = &claims.holds[second];
        for &(end, first) in &current {
            let first_hold = &claims.holds[first];
            if !first_hold.mode.conflicts_with(second_hold.mode) {
                continue;
            }
            forced[first] = true;
            forced[second] = true;
            let calls: Vec<usize> = [first_hold, second_hold]
                .into_iter()
                .flat_map(|hold| [Some(hold.call), hold.release])
                .flatten()
                .collect();
            let words = (
                found.who(first_hold.call),
                found.who(second_hold.call),
                found.us(from),
                found.us(end.min(to)),
            );
            found.add(Law::Exclusion, file, &calls, || {
                let (first, second, from, to) = words;
                format!(
                    "on file {file}, {first} ({}) and {second} ({}) both held the lock from {from} to {to}",
                    first_hold.mode, second_hold.mode
                )
            });
        }
        current.push((to, second));
    }
    forced
}

/// Finds answers "busy" that no single hold can explain, and returns the other ones.
///
/// `forced` are the holds that broke exclusion. These may explain anything, and are not used to rule
/// out others.
pub(super) fn busy(
    file: u32,
    claims: &Claims,
    forced: &[bool],
    found: &mut Findings<'_>,
) -> Vec<Busy> {
    let sure = Sure::new(claims, forced);
    let mut holds: Vec<(u64, u64, usize)> = claims
        .holds
        .iter()
        .enumerate()
        .map(|(index, hold)| {
            let (from, to) = if forced[index] {
                (hold.asked_ns, hold.over_ns)
            } else {
                sure.possible(hold)
            };
            (from, to, index)
        })
        .collect();
    holds.sort_unstable();
    let mut busy: Vec<&Busy> = claims.busy.iter().collect();
    busy.sort_by_key(|busy| busy.asked_ns);

    let releases = Releases::new(claims);
    let mut left = Vec::new();
    let mut upcoming = holds.into_iter().peekable();
    let mut near: Vec<(u64, u64, usize)> = Vec::new();
    for busy in busy {
        while let Some(hold) = upcoming.next_if(|(from, ..)| *from <= busy.answered_ns) {
            near.push(hold);
        }
        near.retain(|(_, to, _)| busy.asked_ns <= *to);
        let explained = near.iter().any(|(from, _, index)| {
            *from <= busy.answered_ns && claims.holds[*index].mode.conflicts_with(busy.mode)
        });
        if explained {
            left.push(busy.clone());
        } else {
            unexplained(file, &releases, busy, found);
        }
    }
    left
}

fn unexplained(file: u32, releases: &Releases<'_>, busy: &Busy, found: &mut Findings<'_>) {
    let (law, last) = releases.blame(busy.mode, busy.asked_ns, Law::NoFalseBusy);
    if law == Law::NoFalseBusy {
        let after_cancel = releases.was_given_up(busy.mode, busy.asked_ns);
        found.after_cancel += u32::from(after_cancel);
        found.plain += u32::from(!after_cancel);
    }
    let mut calls = vec![busy.call];
    calls.extend(last.map(Hold::last_call));
    let asker = found.who(busy.call);
    let at = (found.us(busy.asked_ns), found.us(busy.answered_ns));
    let last = last.map(|hold| (found.who(hold.call), found.us(hold.over_ns), hold.end));
    found.add(law, file, &calls, || {
        let free = match last {
            None => "nobody had ever held a conflicting one".to_owned(),
            Some((who, over, End::Killed)) => {
                format!("the last conflicting holder, {who}, was dead by {over}")
            }
            Some((who, over, End::GivenUp)) => {
                format!("the last who may have held a conflicting one, {who}, had given up by {over}")
            }
            Some((who, over, _)) => {
                format!("the last conflicting holder, {who}, had released it by {over}")
            }
        };
        format!(
            "on file {file}, {asker} asked for the {} lock at {} and was answered \"busy\" at {}, but {free}",
            busy.mode, at.0, at.1
        )
    });
}

/// The times during which the lock was surely held. No two of these holds conflict.
pub(super) struct Sure {
    /// The times of exclusive holds at index 0, and of all holds at index 1.
    begins: [Vec<u64>; 2],
    ends: [Vec<u64>; 2],
}

impl Sure {
    pub(super) fn new(claims: &Claims, forced: &[bool]) -> Self {
        let mut sure = Self {
            begins: [Vec::new(), Vec::new()],
            ends: [Vec::new(), Vec::new()],
        };
        for (hold, forced) in claims.holds.iter().zip(forced) {
            let Some((from, to)) = hold.sure().filter(|_| !forced) else {
                continue;
            };
            for kind in usize::from(is_shared(hold))..2 {
                sure.begins[kind].push(from);
                sure.ends[kind].push(to);
            }
        }
        for times in sure.begins.iter_mut().chain(&mut sure.ends) {
            times.sort_unstable();
        }
        sure
    }

    /// The time during which `hold` possibly held the lock, given the other holds.
    ///
    /// A lock is held without a break. So a hold that surely held the lock for some time cannot reach
    /// beyond the nearest time at which a conflicting hold surely held it.
    pub(super) fn possible(&self, hold: &Hold) -> (u64, u64) {
        let Some((from, to)) = hold.sure() else {
            return (hold.asked_ns, hold.over_ns);
        };
        let conflicting = usize::from(!is_shared(hold));
        let ends = &self.ends[conflicting];
        let before = ends[..ends.partition_point(|end| *end <= from)].last();
        let begins = &self.begins[conflicting];
        let after = begins.get(begins.partition_point(|begin| *begin < to));
        (
            before.map_or(hold.asked_ns, |end| hold.asked_ns.max(*end)),
            after.map_or(hold.over_ns, |begin| hold.over_ns.min(*begin)),
        )
    }
}

fn is_shared(hold: &Hold) -> bool {
    hold.mode == LockMode::Shared
}
