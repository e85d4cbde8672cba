//! The rules about the witnesses: no update is lost, and nothing changes under a shared lock.
//!
//! An update with an answer has taken place, and one without an answer may have taken place. So the
//! last number is at least the number of answers. No two updates with answers found the same number,
//! because the second one would have overwritten the first. The rules use no times.

use std::collections::BTreeMap;

use super::{Findings, Law};
use crate::free::log::{Call, Outcome};

/// Finds lost updates and numbers that changed under a shared lock.
pub(super) fn updates(found: &mut Findings<'_>) {
    let mut updates: BTreeMap<(u32, u64), usize> = BTreeMap::new();
    let mut answered: BTreeMap<u32, u64> = BTreeMap::new();
    for (index, record) in found.history.calls.iter().enumerate() {
        let (file, who) = (record.file, found.who(index));
        match (record.call, record.outcome()) {
            (Call::Increment, Some(Outcome::Found(number))) => {
                *answered.entry(file).or_default() += 1;
                let Some(first) = updates.insert((file, *number), index) else {
                    continue;
                };
                let other = found.who(first);
                found.add(Law::Exclusion, file, &[first, index], || {
                    format!(
                        "on file {file}, {other} and {who} both found the witness at {number} \
                         under the exclusive lock, and wrote the same next number: an update was lost"
                    )
                });
            }
            (Call::ReadTwice, Some(Outcome::Changed(first, second))) => {
                found.add(Law::Exclusion, file, &[index], || {
                    format!(
                        "on file {file}, {who} saw the witness change from {first} to {second} \
                         while it held the shared lock"
                    )
                });
            }
            _ => {}
        }
    }
    let Some(finals) = &found.history.finals else {
        return;
    };
    for (file, number) in (0..).zip(finals) {
        let answered = answered.get(&file).copied().unwrap_or(0);
        if *number < answered {
            found.add(Law::Exclusion, file, &[], || {
                format!(
                    "on file {file}, the witness was increased {answered} times under the exclusive \
                     lock and ended at {number}: updates were lost"
                )
            });
        }
    }
}
