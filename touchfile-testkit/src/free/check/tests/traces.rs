//! Histories with known faults of holds and answers, and similar ones without a fault.

use super::super::{Violation, check};
use crate::Law;
use crate::free::History;

/// A history of these lines, whose times are milliseconds.
pub(super) fn history(lines: &[impl AsRef<str>]) -> History {
    let mut history = History::new();
    let log: String = lines
        .iter()
        .map(|line| {
            let (ms, rest) = line.as_ref().split_once(' ').unwrap();
            format!("{ms}000000 {rest}\n")
        })
        .collect();
    history.add_log(&log).unwrap();
    history
}

pub(super) const MS: u64 = 1_000_000;

pub(super) fn laws(history: &History) -> Vec<Law> {
    check(history).iter().map(|found| found.law).collect()
}

pub(super) fn only_violation(history: &History) -> Violation {
    let mut found = check(history);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn two_holders_at_once_are_told_with_their_calls() {
    let history = history(&[
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "12 2 0 0 > lock shared",
        "13 2 0 0 < acquired",
        "15 1 0 0 > unlock",
        "16 1 0 0 < done",
        "20 2 0 0 > drop",
        "21 2 0 0 < done",
    ]);
    let found = only_violation(&history);
    assert_eq!(found.law, Law::Exclusion);
    assert_eq!(
        found.to_string(),
        "exclusion: on file 0, process 1, task 0 (exclusive) and process 2, task 0 (shared) both \
         held the lock from 3000 µs to 5000 µs\n  \
         file 0, process 1, task 0: try exclusive, from 0 to 1000 µs: acquired\n  \
         file 0, process 2, task 0: lock shared, from 2000 to 3000 µs: acquired\n  \
         file 0, process 1, task 0: unlock, from 5000 to 6000 µs: done\n  \
         file 0, process 2, task 0: drop, from 10000 to 11000 µs: done"
    );
}

#[test]
fn holders_of_different_files_or_in_shared_mode_do_not_conflict() {
    let history = history(&[
        "10 1 0 0 > try shared",
        "11 1 0 0 < acquired",
        "12 2 0 0 > lock shared",
        "13 2 0 0 < acquired",
        "14 2 1 1 > lock exclusive",
        "15 2 1 1 < acquired",
    ]);
    assert_eq!(laws(&history), []);
}

#[test]
fn a_lock_is_not_surely_held_once_its_release_is_asked_for_or_its_process_killed() {
    let lines = [
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "15 1 0 0 > unlock",
        "15 2 0 0 > try exclusive",
        "16 2 0 0 < acquired",
        "18 1 0 0 < done",
    ];
    assert_eq!(laws(&history(&lines)), []);
    let mut history = history(&[&lines[..2], &lines[3..5]].concat());
    assert_eq!(laws(&history), [Law::Exclusion]);
    history.killed(1, 14 * MS, 30 * MS);
    assert_eq!(laws(&history), []);
}

#[test]
fn the_lock_of_the_dead_may_be_found_held_for_a_while_but_not_for_ever() {
    let mut early = history(&[
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "200 2 0 0 > try exclusive",
        "201 2 0 0 < would-block",
    ]);
    early.killed(1, 20 * MS, 30 * MS);
    assert_eq!(laws(&early), []);
    let mut late = history(&[
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "400 2 0 0 > try exclusive",
        "401 2 0 0 < would-block",
    ]);
    late.killed(1, 20 * MS, 30 * MS);
    let found = only_violation(&late);
    assert_eq!(found.law, Law::Release);
    assert!(found.trace.contains("was dead by"), "{found}");
}

#[test]
fn a_call_of_the_dead_may_have_taken_the_lock_without_an_answer() {
    let mut history = history(&[
        "10 1 0 0 > lock exclusive",
        "20 2 0 0 > try exclusive",
        "21 2 0 0 < would-block",
    ]);
    history.killed(1, 30 * MS, 31 * MS);
    assert_eq!(laws(&history), []);
}

#[test]
fn who_died_in_the_middle_of_an_acquisition_may_have_kept_the_lock() {
    let lines = [
        "10 1 0 0 > lock exclusive",
        "400 2 0 0 > try exclusive",
        "401 2 0 0 < would-block",
        "402 2 0 0 > try exclusive",
        "403 2 0 0 < acquired",
    ];
    for (until, law) in [(3, Law::Release), (5, Law::NoFalseBusy)] {
        let mut history = history(&lines[..until]);
        history.killed(1, 30 * MS, 31 * MS);
        assert_eq!(laws(&history), [law]);
    }
}

#[test]
fn busy_when_nobody_was_there_is_false() {
    let history = history(&["10 1 0 0 > try shared", "11 1 0 0 < would-block"]);
    let found = only_violation(&history);
    assert_eq!(found.law, Law::NoFalseBusy);
    assert!(
        found
            .trace
            .ends_with("nobody had ever held a conflicting one"),
        "{found}"
    );
}

#[test]
fn busy_beside_a_reader_is_false_for_a_reader_only() {
    let lines = |mode| {
        [
            "10 1 0 0 > try shared".to_owned(),
            "11 1 0 0 < acquired".to_owned(),
            format!("12 2 0 0 > try {mode}"),
            "13 2 0 0 < would-block".to_owned(),
        ]
    };
    for (mode, expected) in [("exclusive", &[][..]), ("shared", &[Law::NoFalseBusy][..])] {
        let found = check(&history(&lines(mode)));
        let laws: Vec<Law> = found.iter().map(|found| found.law).collect();
        assert_eq!(laws, expected, "{mode}");
        assert!(found.iter().all(|found| {
            found
                .trace
                .ends_with("nobody had ever held a conflicting one")
        }));
    }
}

#[test]
fn a_waiter_does_not_explain_busy_before_a_conflicting_holder_who_came_first() {
    // The waiter of process 1 had it only after process 2: who held it at 15?
    let history = history(&[
        "10 1 0 0 > lock exclusive",
        "15 3 0 0 > try exclusive",
        "16 3 0 0 < would-block",
        "20 2 0 0 > try exclusive",
        "21 2 0 0 < acquired",
        "30 2 0 0 > unlock",
        "31 2 0 0 < done",
        "32 1 0 0 < acquired",
    ]);
    let found = only_violation(&history);
    assert_eq!(found.law, Law::NoFalseBusy);
    assert!(found.trace.contains("nobody had ever held"), "{found}");
}

#[test]
fn busy_after_an_unlock_that_works_at_other_times_is_false() {
    let history = history(&[
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "12 1 0 0 > unlock",
        "13 1 0 0 < done",
        "14 2 0 0 > try exclusive",
        "15 2 0 0 < would-block",
        "16 2 0 0 > try exclusive",
        "17 2 0 0 < acquired",
    ]);
    assert_eq!(laws(&history), [Law::NoFalseBusy]);
}

#[test]
fn busy_after_an_unlock_that_never_works_is_a_failed_release() {
    let history = history(&[
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "12 1 0 0 > unlock",
        "13 1 0 0 < done",
        "14 2 0 0 > try exclusive",
        "15 2 0 0 < would-block",
        "16 1 0 0 > drop",
        "17 1 0 0 < done",
        "18 2 0 0 > try exclusive",
        "19 2 0 0 < acquired",
    ]);
    assert_eq!(laws(&history), [Law::Release]);
}

#[test]
fn busy_only_ever_after_a_wait_was_given_up_is_blamed_on_that() {
    let mut lines = vec![
        "10 1 0 0 > lock exclusive polls 1".to_owned(),
        "11 1 0 0 < cancelled".to_owned(),
    ];
    for ms in (20..30).step_by(2) {
        lines.push(format!("{ms} 2 0 0 > try exclusive"));
        lines.push(format!("{} 2 0 0 < would-block", ms + 1));
    }
    assert!(laws(&history(&lines)).contains(&Law::NoFalseBusy));
    // On another file, where no wait is given up, it never happens.
    for ms in 100..300 {
        lines.push(format!("{ms} 3 0 1 > try shared"));
        lines.push(format!("{ms} 3 0 1 < acquired"));
        lines.push(format!("{ms} 3 0 1 > unlock"));
        lines.push(format!("{ms} 3 0 1 < done"));
    }
    assert_eq!(laws(&history(&lines)), [Law::AcquiredMeansAcquired; 3]);
}

#[test]
fn an_unlock_that_failed_may_have_released_or_not_until_the_drop() {
    let failed = [
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "12 1 0 0 > unlock",
        "13 1 0 0 < failed Other: EIO",
        "14 2 0 0 > try exclusive",
        "15 2 0 0 < would-block",
        "16 1 0 0 > drop",
        "17 1 0 0 < done",
    ];
    assert_eq!(laws(&history(&failed)), [Law::Errors]);
    let after = ["18 2 0 0 > try exclusive", "19 2 0 0 < would-block"];
    let after = history(&[&failed[..], &after[..]].concat());
    assert_eq!(laws(&after), [Law::Release, Law::Errors]);
}

#[test]
fn nothing_is_concluded_from_holds_that_broke_exclusion() {
    // Process 4 may have had the lock at 5 ms after all, if process 1 never really got it.
    let history = history(&[
        "2 4 0 0 > lock exclusive",
        "5 3 0 0 > try exclusive",
        "6 3 0 0 < would-block",
        "10 1 0 0 > try exclusive",
        "11 1 0 0 < acquired",
        "12 2 0 0 > try exclusive",
        "13 2 0 0 < acquired",
        "20 1 0 0 > unlock",
        "21 1 0 0 < done",
        "22 2 0 0 > unlock",
        "23 2 0 0 < done",
        "30 4 0 0 < acquired",
    ]);
    assert_eq!(laws(&history), [Law::Exclusion]);
}

#[test]
fn no_more_than_three_violations_of_a_kind_are_told() {
    let lines: Vec<String> = (10..30)
        .flat_map(|ms| {
            [
                format!("{ms} {ms} 0 0 > try exclusive"),
                format!("{ms} {ms} 0 0 < acquired"),
            ]
        })
        .collect();
    assert_eq!(laws(&history(&lines)), [Law::Exclusion; 3]);
}
