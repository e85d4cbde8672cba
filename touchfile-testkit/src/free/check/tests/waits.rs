//! Histories with known faults of waits, failures and witnesses, and similar ones without a fault.

use super::traces::{MS, history, laws, only_violation};
use crate::Law;

#[test]
fn a_wait_longer_than_anybody_held_the_lock_is_too_long() {
    let lines = |ms: u64| {
        history(&[
            "10 1 0 0 > try exclusive",
            "11 1 0 0 < acquired",
            "12 2 0 0 > lock shared",
            "20 1 0 0 > unlock",
            "21 1 0 0 < done",
            &format!("{ms} 2 0 0 < acquired"),
        ])
    };
    assert_eq!(laws(&lines(1_900)), []);
    let found = only_violation(&lines(2_100));
    assert_eq!(found.law, Law::Liveness);
    assert!(found.trace.contains("until 2090000 µs"), "{found}");
}

#[test]
fn a_wait_behind_a_holder_may_take_long() {
    let history = history(&[
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "12 2 0 0 > lock shared",
        "9000 1 0 0 > unlock",
        "9001 1 0 0 < done",
        "9002 2 0 0 < acquired",
    ]);
    assert_eq!(laws(&history), []);
}

#[test]
fn a_waiter_who_is_never_served_is_told() {
    let lines = [
        "10 1 0 0 > lock exclusive",
        "10 2 0 0 > lock exclusive",
        "11 2 0 0 < acquired",
        "12 2 0 0 > unlock",
        "13 2 0 0 < done",
    ];
    let mut killed = history(&lines);
    killed.killed(1, 5_000 * MS, 5_001 * MS);
    // Two seconds of a free lock are too long, even if the waiter is killed later.
    assert_eq!(laws(&killed), [Law::Release]);
    let mut soon = history(&lines);
    soon.killed(1, 1_000 * MS, 1_001 * MS);
    assert_eq!(laws(&soon), []);
    let mut overdue = history(&lines);
    overdue.overdue(1, 5_000 * MS, 5_001 * MS);
    assert_eq!(laws(&overdue), [Law::Release; 2]);
    let mut others = history(
        &[
            &lines[..],
            &[
                "14 3 0 0 > try exclusive",
                "15 3 0 0 < acquired",
                "16 3 0 0 > unlock",
                "17 3 0 0 < done",
            ],
        ]
        .concat(),
    );
    others.overdue(1, 5_000 * MS, 5_001 * MS);
    assert_eq!(laws(&others), [Law::Liveness; 2]);
}

#[test]
fn a_process_whose_timed_wait_never_ends_has_a_blocked_thread() {
    let mut history = history(&[
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "11 1 0 0 > increment",
        "12 1 1 0 > lock exclusive timeout_us 3000",
    ]);
    history.overdue(1, 1_000 * MS, 1_001 * MS);
    assert_eq!(laws(&history), []);
    history.overdue(1, 3_000 * MS, 3_001 * MS);
    let found = only_violation(&history);
    assert_eq!(found.law, Law::CancelSafety);
    assert!(
        found
            .trace
            .starts_with("process 1 stands still since 2000 µs"),
        "{found}"
    );
}

#[test]
fn a_timed_wait_has_its_time_before_it_hangs() {
    let mut history = history(&["10 1 0 0 > lock exclusive timeout_us 3000000"]);
    history.overdue(1, 5_000 * MS, 5_001 * MS);
    assert_eq!(laws(&history), [Law::Liveness]); // of a lock that was free all the time
    let lines = [
        "9 2 0 0 > try exclusive",
        "9 2 0 0 < acquired",
        "10 1 0 0 > lock exclusive timeout_us 3000000",
        "4000 2 0 0 > unlock",
        "4000 2 0 0 < done",
    ];
    for (ms, expected) in [(5_000, &[][..]), (5_020, &[Law::CancelSafety][..])] {
        let mut history = self::history(&lines);
        history.overdue(1, ms * MS, (ms + 1) * MS);
        assert_eq!(laws(&history), expected, "{ms}");
    }
}

#[test]
fn a_waiter_who_was_overdue_soon_after_the_others_is_not_told() {
    let mut history = history(&[
        "10 1 0 0 > lock exclusive",
        "10 2 0 0 > lock exclusive",
        "11 2 0 0 < acquired",
        "4000 2 0 0 > unlock",
        "4001 2 0 0 < done",
    ]);
    history.overdue(1, 5_000 * MS, 5_001 * MS);
    assert_eq!(laws(&history), []);
}

#[test]
fn who_waits_for_a_process_that_hangs_is_not_told_beside_it() {
    let mut history = history(&[
        "10 1 0 0 > lock exclusive timeout_us 3000",
        "11 2 0 0 > lock exclusive",
    ]);
    history.overdue(1, 5_000 * MS, 5_001 * MS);
    history.overdue(2, 5_000 * MS, 5_001 * MS);
    assert_eq!(laws(&history), [Law::CancelSafety]);
}

#[test]
fn a_timeout_before_its_time_is_told() {
    let lines = |ms: u64| {
        history(&[
            "10 1 0 0 > lock shared timeout_us 3000",
            &format!("{ms} 1 0 0 < timed-out"),
        ])
    };
    assert_eq!(laws(&lines(12)), [Law::Liveness]);
    assert_eq!(laws(&lines(13)), []);
}

#[test]
fn a_call_that_fails_is_told_unless_its_process_is_dead() {
    let lines = [
        "10 1 0 0 > try shared",
        "11 1 0 0 < failed Other: no locks available",
    ];
    let mut failed = history(&lines);
    assert!(
        only_violation(&failed)
            .trace
            .ends_with("no locks available")
    );
    failed.killed(1, 10 * MS, 12 * MS);
    assert_eq!(laws(&failed), []);
    let refused = history(&[lines[0], "11 1 0 0 < failed Unsupported: unsupported"]);
    assert_eq!(laws(&refused), [Law::Capabilities]);
}

#[test]
fn updates_of_the_witness_that_vanish_are_told() {
    let mut lines = vec![
        "10 1 0 0 > increment",
        "11 1 0 0 < found 0",
        "20 2 0 0 > increment",
        "21 2 0 0 < found 1",
    ];
    let mut right = history(&lines);
    right.witnesses(vec![2]);
    assert_eq!(laws(&right), []);
    right.witnesses(vec![3]); // one more, of a process that was killed before it said so
    assert_eq!(laws(&right), []);
    right.witnesses(vec![1]);
    assert!(only_violation(&right).trace.ends_with("updates were lost"));
    lines[3] = "21 2 0 0 < found 0";
    let twice = only_violation(&history(&lines));
    assert_eq!((twice.law, twice.calls.len()), (Law::Exclusion, 2));
}

#[test]
fn a_witness_that_changes_under_a_shared_lock_is_told() {
    let history = history(&["10 1 0 0 > read-twice", "11 1 0 0 < changed 3 4"]);
    assert_eq!(laws(&history), [Law::Exclusion]);
}
