//! Many who share: nobody has to wait, so what is measured is what sharing costs.

use std::io;

use super::loops::{Habit, let_loop, workers};
use crate::contenders::Mode;
use crate::report::{Table, column, with_ratio};
use crate::run::{Run, turns};

pub(super) const NAME: &str = "readers";

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let (processes, rounds, slice_ms) = run.effort.pick((8, 4, 500), (8, 1, 120), (2, 1, 10));
    let (contenders, unable) = run.sharers();
    let new = |contender| (contender, 0, 0);
    let mut entrants: Vec<_> = contenders.into_iter().map(new).collect();
    run.begin(NAME, rounds * entrants.len());
    let habit = Habit {
        mode: Mode::Shared,
        section: 0,
        asleep: false,
        pause: 0,
        delay: 0,
    };
    for round in 0..rounds {
        for (contender, total, longest_wait) in turns(&mut entrants, round) {
            let path = run.new_path();
            let mut workers = workers(contender, &path, processes)?;
            let time = slice_ms * 1_000_000;
            for outcome in let_loop(&mut workers, &vec![habit; processes], time)? {
                *total += outcome.acquisitions;
                *longest_wait = outcome.longest_wait.max(*longest_wait);
            }
            run.step();
        }
    }
    run.end();

    let seconds = rounds as f64 * slice_ms as f64 / 1e3;
    let lines = entrants
        .into_iter()
        .map(|(contender, total, longest_wait)| {
            let values = vec![total as f64 / seconds, longest_wait as f64 / 1e6];
            (contender.name, values)
        });
    run.report.tables.push(Table {
        scenario: NAME,
        variant: String::new(),
        caption: format!(
            "{processes} processes lock shared and release at once, again and again, for {slice_ms} \
             ms, {rounds} times: what they do together, and the longest that one took, which is \
             mostly a wait for a processor."
        ),
        columns: vec![with_ratio("rate", "/s"), column("longest", "ms")],
        lines: lines.collect(),
        unable,
    });
    Ok(())
}
