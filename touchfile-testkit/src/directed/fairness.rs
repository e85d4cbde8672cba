//! A backend that claims to be fair serves waiters in the order in which they began to wait.

use std::thread;
use std::time::Duration;

use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Undone, enough};

/// How many processes wait at once.
const WAITERS: usize = 6;

/// Two waiters that began to wait within this time may be served in any order.
const APART_NS: u64 = 5_000_000;

/// How many percent of the pairs may be served in the wrong order by chance.
const MOST_INVERSIONS: u64 = 25;

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Liveness::those_who_wait_are_served_in_the_order_in_which_they_came [CrossProcess, RealProcesses, Fair],
    }
}

fn those_who_wait_are_served_in_the_order_in_which_they_came(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let rounds = driver.context.times(5);
    let (mut pairs, mut inversions) = (0, 0);
    for _ in 0..rounds {
        let times = queue_once(driver)?;
        for (at, &(begun, granted)) in times.iter().enumerate() {
            for &(later, first) in &times[at + 1..] {
                if begun + APART_NS < later {
                    pairs += 1;
                    inversions += u64::from(first < granted);
                }
            }
        }
    }
    let measured = format!(
        "of {pairs} pairs of waiters in the queue, {inversions} were served in the wrong order"
    );
    if inversions * 100 > pairs * MOST_INVERSIONS {
        return Err(driver.broken(
            Law::Capabilities,
            format!("`fair` is claimed, but {measured}"),
        ));
    }
    driver.measured = vec![measured];
    // All pairs of a round may be too close to each other, but seldom nearly all pairs of all rounds.
    let in_a_round = (WAITERS * (WAITERS - 1) / 2) as u64;
    enough(pairs, rounds * in_a_round)
}

/// Lets several waiters queue, and returns when each began to wait and when it was granted the lock.
fn queue_once(driver: &mut Driver<'_>) -> Result<Vec<(u64, u64)>, Undone> {
    driver.hold(0, 0)?;
    let waits = driver.script("wait-in-queue", &[&2]);
    for waiter in 1..=WAITERS {
        driver.send(waiter, &waits)?;
        thread::sleep(Duration::from_millis(15));
    }
    driver.unlock(0, 0)?;
    let mut times = Vec::new();
    for waiter in 1..=WAITERS {
        let said = driver.result_of(waiter, &waits)?;
        let numbers: Vec<u64> = said
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let &[begun, granted] = numbers.as_slice() else {
            return Err(Undone::Failed(format!("a waiter said {said:?}")));
        };
        times.push((begun, granted));
    }
    driver.drop_handle(0, 0)?;
    times.sort_unstable();
    Ok(times)
}
