//! Who claims to be fair serves waiters in the order in which they came.

use std::thread;
use std::time::Duration;

use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Context, Done, Need, Outcome, Undone};

/// How many wait at once.
const WAITERS: usize = 6;

/// Those that began to wait with less time between them may be served in any order.
const APART_NS: u64 = 5_000_000;

/// In percent: so many pairs that are served in the wrong order are a matter of chance.
const MOST_INVERSIONS: usize = 25;

pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        name: format!(
            "{}::{}",
            Law::Liveness,
            stringify!(those_who_wait_are_served_in_the_order_in_which_they_came)
        ),
        law: Some(Law::Liveness),
        needs: &[Need::CrossProcess, Need::RealProcesses, Need::Fair],
        run: Box::new(those_who_wait_are_served_in_the_order_in_which_they_came),
    }]
}

fn those_who_wait_are_served_in_the_order_in_which_they_came(context: &Context<'_>) -> Outcome {
    let mut driver = Driver::new(context, Law::Liveness)?;
    let rounds = context.times(5);
    let (mut pairs, mut inversions) = (0, 0);
    for _ in 0..rounds {
        let times = one_line(&mut driver)?;
        for (at, &(begun, granted)) in times.iter().enumerate() {
            for &(later, first) in &times[at + 1..] {
                if begun + APART_NS < later {
                    pairs += 1;
                    inversions += usize::from(first < granted);
                }
            }
        }
    }
    let measured = format!(
        "of {pairs} pairs of waiters that stood in line, {inversions} were served in the wrong order"
    );
    if inversions * 100 > pairs * MOST_INVERSIONS {
        return Err(driver.broken(
            Law::Capabilities,
            format!("`fair` is claimed, but {measured}"),
        ));
    }
    driver.close();
    Ok(Done {
        tried: pairs as u64,
        measured: vec![measured],
    })
}

/// When each began to wait and was granted the lock.
fn one_line(driver: &mut Driver<'_>) -> Result<Vec<(u64, u64)>, Undone> {
    driver.hold(0, 0)?;
    let waits = driver.script("wait-in-line", &[&2]);
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
