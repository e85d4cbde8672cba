//! Signals that interrupt system calls.

use std::time::Duration;

use super::case;
use super::cast::Cast;
use crate::Law;
use crate::suite::{Case, Need, Undone};

const NEEDS: &[Need] = &[Need::CrossProcess, Need::RealProcesses];

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            Law::Errors,
            "a_waiter_in_a_storm_of_signals_meets_no_error",
            NEEDS,
            waiter,
        ),
        case(
            Law::NoFalseBusy,
            "an_attempt_in_a_storm_of_signals_is_not_busy",
            NEEDS,
            attempts,
        ),
    ]
}

fn waiter(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let turns = cast.bench.times(50);
    let scene = cast.scene("lock-and-unlock", &[&turns, &100]);
    for process in [0, 1] {
        cast.open(process, 0)?;
        cast.tell(process, &scene)?;
    }
    storm(cast)?;
    cast.played(1, &scene)?;
    cast.played(0, &scene)?;
    Ok(turns)
}

fn attempts(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let attempts = cast.bench.times(3_000);
    let scene = cast.scene("try-many", &[&"exclusive", &attempts]);
    cast.open(1, 0)?;
    cast.tell(1, &scene)?;
    storm(cast)?;
    let said = cast.played(1, &scene)?;
    cast.must(
        said == format!("{attempts} acquired, 0 busy"),
        "nobody else uses the lock",
    )?;
    Ok(attempts)
}

/// A process without handlers is interrupted by being stopped and continued (signal(7)).
fn storm(cast: &mut Cast<'_>) -> Result<(), Undone> {
    for _ in 0..cast.bench.times(100) {
        cast.stage.stop(1)?;
        cast.stage.resume(1);
        std::thread::sleep(Duration::from_micros(200));
    }
    cast.note("process 1 was stopped and continued again and again");
    Ok(())
}
