//! What is measured: one file for each scenario, with what its workers do.

mod cancel;
mod crash;
mod fairness;
mod fan_in;
mod handoff;
mod idle;
mod loops;
mod many_paths;
mod other;
mod readers;
mod turns;
mod uncontended;
mod writer_starvation;

use std::io;

use crate::run::Run;
use crate::worker::Side;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Run) -> io::Result<()>,
}

pub(crate) static ALL: &[Scenario] = &[
    Scenario {
        name: uncontended::NAME,
        run: uncontended::run,
    },
    Scenario {
        name: handoff::NAME,
        run: handoff::run,
    },
    Scenario {
        name: fairness::NAME,
        run: fairness::run,
    },
    Scenario {
        name: writer_starvation::NAME,
        run: writer_starvation::run,
    },
    Scenario {
        name: fan_in::NAME,
        run: fan_in::run,
    },
    Scenario {
        name: many_paths::NAME,
        run: many_paths::run,
    },
    Scenario {
        name: readers::NAME,
        run: readers::run,
    },
    Scenario {
        name: idle::NAME,
        run: idle::run,
    },
    Scenario {
        name: crash::NAME,
        run: crash::run,
    },
    Scenario {
        name: cancel::NAME,
        run: cancel::run,
    },
];

/// Plays a role, in a worker.
pub(crate) fn play(role: &str, side: Side) -> io::Result<()> {
    match role {
        cancel::ROLE => cancel::play(side),
        fan_in::ROLE => fan_in::play(side),
        idle::ROLE => idle::play(side),
        idle::HOLDER => idle::hold(side),
        loops::ROLE => loops::play(side),
        many_paths::ROLE => many_paths::play(side),
        turns::ROLE => turns::play(side),
        other => Err(io::Error::other(format!("nobody has the role {other:?}"))),
    }
}
