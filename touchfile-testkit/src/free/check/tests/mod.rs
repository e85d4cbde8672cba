//! Compares the checker with the definition, and tries it on histories with known faults.

mod brute_force;
mod killed;
mod real_runs;
mod small;
mod traces;
mod waits;

use std::cell::Cell;

use proptest::prop_assert_eq;
use proptest::test_runner::{Config, TestRunner};

use self::brute_force::linearizable;
use self::small::histories;
use super::{Violation, check};
use crate::Law;
use crate::free::log::Outcome;
use crate::free::{History, Plan, Witness};

const CASES: u32 = 10_000;

/// How often each verdict was reached.
#[derive(Debug, Default)]
struct Verdicts {
    right: Cell<u32>,
    wrong: Cell<u32>,
    /// Those of the wrong ones that only the search for an order found.
    together: Cell<u32>,
}

#[test]
fn the_checker_and_every_order_agree_on_small_histories() {
    let verdicts = Verdicts::default();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let agreed = TestRunner::new(config).run(&histories(7), |history| {
        let right = linearizable(&history);
        let violations = check(&history);
        prop_assert_eq!(
            violations.is_empty(),
            right,
            "{}\n{:#?}",
            describe(&history),
            violations
        );
        let together = violations
            .iter()
            .all(|violation| violation.trace.contains("no order"));
        let verdict = match (right, together) {
            (true, _) => &verdicts.right,
            (false, true) => &verdicts.together,
            (false, false) => &verdicts.wrong,
        };
        verdict.set(verdict.get() + 1);
        let mut without_busy = history.clone();
        let busy =
            |answer: &Option<(u64, Outcome)>| matches!(answer, Some((_, Outcome::WouldBlock)));
        without_busy.calls.retain(|call| !busy(&call.answer));
        let exclusion = violations
            .iter()
            .any(|violation| violation.law == Law::Exclusion);
        prop_assert_eq!(
            exclusion,
            !linearizable(&without_busy),
            "{}",
            describe(&history)
        );
        Ok(())
    });
    if let Err(error) = agreed {
        panic!("{error}");
    }
    let Verdicts {
        right,
        wrong,
        together,
    } = &verdicts;
    let (right, wrong, together) = (right.get(), wrong.get(), together.get());
    assert!(
        right.min(wrong) > CASES / 8 && together > CASES / 400,
        "too one-sided: {verdicts:?}"
    );
}

/// Judges the history of a race, with the witnesses if they were used.
fn judge(plan: &Plan, mut history: History) -> (History, Vec<Violation>) {
    if plan.witness {
        history.witnesses(Witness::finals(plan).unwrap());
    }
    let violations = check(&history);
    (history, violations)
}

fn describe(history: &History) -> String {
    let lines = history.calls.iter().map(|call| {
        let answer = call
            .answer
            .as_ref()
            .map(|(at_ns, outcome)| format!("{at_ns} {outcome}"));
        format!(
            "{} > {} task {}: {} < {}\n",
            call.invoked_ns,
            call.call,
            call.process,
            call.task,
            answer.unwrap_or_default()
        )
    });
    lines.collect()
}
