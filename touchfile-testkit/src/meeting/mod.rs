//! Threads of one process that use a lock at the same moment.

mod attempts;
mod conversions;
mod early_releases;

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(crate) use self::attempts::attempts;
pub(crate) use self::conversions::conversions;
pub(crate) use self::early_releases::early_releases;
use crate::Law;
use crate::process::ScriptOutcome;

fn broken(law: Law, what: String) -> ScriptOutcome {
    ScriptOutcome::Broken {
        law,
        what,
        trace: Vec::new(),
    }
}

/// A barrier at which threads spin, because a thread that sleeps is woken too late.
struct Barrier {
    size: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    fn new(size: usize) -> Self {
        Self {
            size,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
        }
    }

    fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.size {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round + 1, Ordering::Release);
            return;
        }
        let mut spins = 0_u32;
        while self.round.load(Ordering::Acquire) == round {
            spins += 1;
            if spins % 200 == 0 {
                // On one processor the other thread could not run otherwise.
                thread::yield_now();
            }
            spin_loop();
        }
    }
}
