//! Processes that lock again as soon as they have released: who gets how much, who waits how long.

use std::io;

use super::loops::{Habit, let_loop, workers};
use crate::contenders::{Contender, Mode};
use crate::report::{Table, column, with_ratio};
use crate::run::{Run, turns};
use crate::stats::jain;

pub(super) const NAME: &str = "fairness";

struct Entrant {
    contender: &'static Contender,
    fairness: Vec<f64>,
    longest_wait: u64,
    /// Of each process, in the last round.
    shares: Vec<u64>,
    acquisitions: u64,
}

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let counts = run.effort.pick(&[2, 4, 8][..], &[2, 8], &[2]);
    let sections_us = run.effort.pick(&[20, 200][..], &[200], &[200]);
    for count in counts {
        for section_us in sections_us {
            measure(run, *count, *section_us)?;
        }
    }
    Ok(())
}

fn measure(run: &mut Run, count: usize, section_us: u64) -> io::Result<()> {
    let (rounds, slice_ms) = run.effort.pick((4, 800), (1, 200), (1, 20));
    let variant = format!("k={count} {section_us} µs");
    let new = |contender| Entrant {
        contender,
        fairness: Vec::new(),
        longest_wait: 0,
        shares: Vec::new(),
        acquisitions: 0,
    };
    let mut entrants: Vec<_> = run.waiters().into_iter().map(new).collect();
    run.begin(&format!("{NAME} {variant}"), rounds * entrants.len());
    let habit = Habit {
        mode: Mode::Exclusive,
        section: section_us * 1_000,
        asleep: false,
        pause: 0,
        delay: 0,
    };
    for round in 0..rounds {
        for entrant in turns(&mut entrants, round) {
            let path = run.new_path();
            let mut workers = workers(entrant.contender, &path, count)?;
            let outcomes = let_loop(&mut workers, &vec![habit; count], slice_ms * 1_000_000)?;
            entrant.shares = outcomes
                .iter()
                .map(|outcome| outcome.acquisitions)
                .collect();
            entrant.fairness.push(jain(&entrant.shares));
            entrant.acquisitions += entrant.shares.iter().sum::<u64>();
            let waits = outcomes.iter().map(|outcome| outcome.longest_wait);
            entrant.longest_wait = waits.fold(entrant.longest_wait, u64::max);
            run.step();
        }
    }
    run.end();

    let mut lines = Vec::new();
    for entrant in entrants {
        let Entrant {
            contender,
            fairness,
            shares,
            ..
        } = entrant;
        let total: u64 = shares.iter().sum();
        let share = |share: Option<&u64>| 100.0 * *share.unwrap_or(&0) as f64 / total as f64;
        lines.push((
            contender.name,
            vec![
                fairness.iter().sum::<f64>() / fairness.len() as f64,
                entrant.longest_wait as f64 / 1e6,
                entrant.acquisitions as f64 * 1e3 / (rounds as f64 * slice_ms as f64),
                share(shares.iter().min()),
                share(shares.iter().max()),
            ],
        ));
        run.report
            .shares
            .push((variant.clone(), contender.name, shares));
    }
    run.report.tables.push(Table {
        scenario: NAME,
        variant,
        caption: format!(
            "{count} processes lock, work for {section_us} µs, release and lock again, for \
             {slice_ms} ms, {rounds} times: Jain's index (1: all get the same), the longest wait \
             of any, and what the least and the most lucky process got."
        ),
        columns: vec![
            column("jain", ""),
            with_ratio("longest wait", "ms"),
            with_ratio("rate", "/s"),
            column("least", "%"),
            column("most", "%"),
        ],
        lines,
        unable: Vec::new(),
    });
    Ok(())
}
