//! One lock and unlock of an exclusive lock that nobody else wants.

use std::io;

use crate::clock::now;
use crate::contenders::{Contender, Mode, Participant};
use crate::report::{Table, column, with_ratio};
use crate::run::{Run, turns};
use crate::stats::Sample;
use crate::worker::runtime;

pub(super) const NAME: &str = "uncontended";

struct Entrant {
    contender: &'static Contender,
    participant: Participant,
    /// Cycles in a slice of time.
    cycles: u64,
    times: Vec<u64>,
}

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let (rounds, slice_us) = run.effort.pick((300, 4_000), (40, 2_500), (2, 200));
    let runtime = runtime()?;
    let mut entrants = Vec::new();
    for contender in run.all() {
        let mut participant = (contender.open)(&run.new_path())?;
        participant.cycles(&runtime, Mode::Exclusive, 10)?;
        let started = now();
        participant.cycles(&runtime, Mode::Exclusive, 50)?;
        let cycle = ((now() - started) / 50).max(1);
        entrants.push(Entrant {
            contender,
            participant,
            cycles: (slice_us * 1_000 / cycle).max(10),
            times: Vec::new(),
        });
    }

    run.begin(NAME, rounds);
    for round in 0..rounds {
        for entrant in turns(&mut entrants, round) {
            let started = now();
            let participant = &mut entrant.participant;
            participant.cycles(&runtime, Mode::Exclusive, entrant.cycles)?;
            entrant.times.push((now() - started) * 100 / entrant.cycles);
        }
        run.step();
    }
    run.end();

    let line = |entrant: Entrant| {
        let [p50, p90, p99, _] = Sample::new(entrant.times).summary(100.0);
        (entrant.contender.name, vec![p50, p90, p99, 1e9 / p50])
    };
    run.report.tables.push(Table {
        scenario: NAME,
        variant: String::new(),
        caption: format!(
            "One exclusive lock and its release, nobody else about: the mean of slices of \
             {slice_us} µs, of which the percentiles are, in {rounds} rounds."
        ),
        columns: vec![
            with_ratio("p50", "ns"),
            column("p90", "ns"),
            column("p99", "ns"),
            column("rate", "/s"),
        ],
        lines: entrants.into_iter().map(line).collect(),
        unable: Vec::new(),
    });
    Ok(())
}
