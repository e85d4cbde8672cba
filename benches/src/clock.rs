//! One clock for all processes: CLOCK_MONOTONIC counts from the same moment in each of them.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds.
pub(crate) type Nanos = u64;

/// Sleeping ends this much before the moment asked for; the rest is spun.
const SPIN: Nanos = 60_000;

pub(crate) fn now() -> Nanos {
    nanos(ClockId::Monotonic)
}

/// The processor time, user and system, that all threads of this process have used.
pub(crate) fn processor_time() -> Nanos {
    nanos(ClockId::ProcessCPUTime)
}

/// Returns at that moment, and not some 50 µs after it as a sleep does.
pub(crate) fn sleep_until(moment: Nanos) {
    let left = moment.saturating_sub(now());
    if left > SPIN {
        thread::sleep(Duration::from_nanos(left - SPIN));
    }
    spin_until(moment);
}

/// Works until that moment.
pub(crate) fn spin_until(moment: Nanos) {
    while now() < moment {
        std::hint::spin_loop();
    }
}

fn nanos(clock: ClockId) -> Nanos {
    let time = clock_gettime(clock);
    let seconds = Nanos::try_from(time.tv_sec).expect("it counts from the start of something");
    seconds * 1_000_000_000 + Nanos::try_from(time.tv_nsec).expect("it is less than a second")
}
