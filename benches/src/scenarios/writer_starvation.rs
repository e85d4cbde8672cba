//! A writer among readers whose holds overlap, so that the lock is never free by itself.

use std::io;

use super::loops::{Habit, let_loop, workers};
use crate::contenders::{Contender, Mode};
use crate::report::{Table, column, with_ratio};
use crate::run::{Run, turns};

pub(super) const NAME: &str = "writer-starvation";

const READ: u64 = 10_000_000;

#[derive(Clone, Copy)]
struct Entrant {
    contender: &'static Contender,
    longest_wait: u64,
    turns: u64,
    reads: u64,
}

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    for readers in run.effort.pick(&[2, 3, 4][..], &[2], &[2]) {
        measure(run, *readers)?;
    }
    Ok(())
}

fn measure(run: &mut Run, readers: usize) -> io::Result<()> {
    let (rounds, slice_ms) = run.effort.pick((1, 3_000), (1, 300), (1, 60));
    let variant = format!("{readers} readers");
    let (contenders, unable) = run.sharers();
    let new = |contender| Entrant {
        contender,
        longest_wait: 0,
        turns: 0,
        reads: 0,
    };
    let mut entrants: Vec<_> = contenders.into_iter().map(new).collect();
    run.begin(&format!("{NAME} {variant}"), rounds * entrants.len());
    let reader = |number| Habit {
        mode: Mode::Shared,
        section: READ,
        asleep: true,
        pause: 0,
        delay: READ * number as u64 / readers as u64,
    };
    let mut habits: Vec<_> = (0..readers).map(reader).collect();
    habits.push(Habit {
        mode: Mode::Exclusive,
        section: 100_000,
        asleep: false,
        pause: 1_000_000,
        delay: READ,
    });
    for round in 0..rounds {
        for entrant in turns(&mut entrants, round) {
            let path = run.new_path();
            let mut workers = workers(entrant.contender, &path, habits.len())?;
            let outcomes = let_loop(&mut workers, &habits, slice_ms * 1_000_000)?;
            let writer = outcomes[readers];
            entrant.turns += writer.acquisitions;
            entrant.longest_wait = entrant.longest_wait.max(writer.longest_wait);
            let reads = outcomes[..readers]
                .iter()
                .map(|outcome| outcome.acquisitions);
            entrant.reads += reads.sum::<u64>();
            run.step();
        }
    }
    run.end();

    let seconds = rounds as f64 * slice_ms as f64 / 1e3;
    let line = |entrant: Entrant| {
        (
            entrant.contender.name,
            vec![
                entrant.turns as f64,
                entrant.longest_wait as f64 / 1e6,
                entrant.reads as f64 / seconds,
            ],
        )
    };
    run.report.tables.push(Table {
        scenario: NAME,
        variant,
        caption: format!(
            "{readers} processes hold the lock shared for 10 ms each, again and again and one \
             after the other, and a process that wants it exclusively, 1 ms after it had it last: \
             how often it got it in {seconds} s, and its longest wait, which is at most that."
        ),
        columns: vec![
            column("writer's turns", ""),
            with_ratio("longest wait", "ms"),
            with_ratio("reads", "/s"),
        ],
        lines: entrants.into_iter().map(line).collect(),
        unable,
    });
    Ok(())
}
