//! From the release in one process to the acquisition in another that waits.

use std::io;

use super::turns::{End, Pair};
use crate::contenders::FLOOR;
use crate::report::{LATENCY, Table};
use crate::run::{Run, turns};
use crate::stats::Random;

pub(super) const NAME: &str = "handoff";

struct Variant {
    name: &'static str,
    end: End,
    /// Whether the holder is the raw system call, and not the contender itself.
    foreign: bool,
    caption: &'static str,
}

static VARIANTS: &[Variant] = &[
    Variant {
        name: "unlock",
        end: End::Unlock,
        foreign: false,
        caption: "The holder releases explicitly and keeps its file open.",
    },
    Variant {
        name: "drop",
        end: End::Drop,
        foreign: false,
        caption: "The holder drops its guard and closes its file.",
    },
    Variant {
        name: "exit",
        end: End::Exit,
        foreign: false,
        caption: "The holder's process exits and releases nothing itself.",
    },
    Variant {
        name: "foreign",
        end: End::Unlock,
        foreign: true,
        caption: "The holder is another program: it makes the raw unlocking call and keeps its \
                  file open.",
    },
];

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    for variant in VARIANTS {
        // How a release is noticed is what matters most, so it is measured most.
        let unlock = variant.end == End::Unlock && !variant.foreign;
        let rounds = run.effort.pick(
            if unlock { 500 } else { 150 },
            if unlock { 30 } else { 8 },
            2,
        );
        measure(
            run,
            variant.name,
            variant.end,
            variant.foreign,
            rounds,
            NAME,
            variant.caption,
        )?;
    }
    Ok(())
}

/// Measures one way of letting go, for `handoff` and `crash`.
pub(super) fn measure(
    run: &mut Run,
    variant: &str,
    end: End,
    foreign: bool,
    rounds: usize,
    scenario: &'static str,
    caption: &str,
) -> io::Result<()> {
    // The wait before the release is random, because polls have a phase.
    let (shortest, longest) = run
        .effort
        .pick((5_000, 35_000), (2_000, 12_000), (1_000, 2_000));
    let mut pairs = Vec::new();
    let contenders = run.waiters();
    run.begin(&format!("{scenario} {variant}"), rounds * contenders.len());
    for contender in contenders {
        let path = run.new_path();
        let holds = if foreign {
            contender.raw_of_its_family()
        } else {
            contender
        };
        pairs.push((Pair::new(holds, contender, &path)?, Vec::new()));
    }
    let mut random = Random::new(0x70AC_F11E);
    for round in 0..rounds + 1 {
        for (pair, times) in turns(&mut pairs, round) {
            let wait = shortest + random.below(longest - shortest);
            let late = pair.hand_over(end, wait * 1_000)?;
            // The first is for caches and lazy starts.
            if round > 0 {
                times.push(late);
                run.step();
            }
        }
    }
    run.end();

    let mut lines = Vec::new();
    for (pair, times) in pairs {
        let name = pair.waiter().name;
        let kept = if scenario == NAME { variant } else { scenario };
        lines.push((name, run.report.keep_latency(kept, name, times)));
    }
    let caption = format!(
        "{caption} Time from there until a waiter in another process has the lock, after it \
         waited for {} to {} ms; {rounds} rounds. The floor is a thread blocked in {FLOOR}.",
        shortest / 1_000,
        longest / 1_000,
    );
    run.report.tables.push(Table {
        scenario,
        variant: if scenario == NAME {
            variant.to_owned()
        } else {
            String::new()
        },
        caption,
        columns: LATENCY.to_vec(),
        lines,
        unable: Vec::new(),
    });
    Ok(())
}
