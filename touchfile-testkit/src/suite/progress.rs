//! How far a run has come.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::report::CaseReport;

/// The progress of a [`check`](crate::Suite::check). Its methods are called from several threads.
pub trait Observer: Sync {
    /// The run begins; it has these cases.
    fn planned(&self, cases: &[&str]) {
        let _ = cases;
    }

    /// A case begins.
    fn started(&self, case: &str) {
        let _ = case;
    }

    /// So much of a case is done.
    fn progressed(&self, case: &str, done: u64, of: u64) {
        let _ = (case, done, of);
    }

    /// A case has ended.
    fn finished(&self, case: &CaseReport) {
        let _ = case;
    }
}

/// This observer ignores everything.
impl Observer for () {}

/// Writes to a terminal how far the cases have come that take long.
pub(super) struct OnTerminal {
    begun: Instant,
    last: Mutex<Instant>,
}

impl OnTerminal {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: Mutex::new(Instant::now()),
        }
    }
}

impl Observer for OnTerminal {
    fn progressed(&self, case: &str, done: u64, of: u64) {
        const PAUSE: Duration = Duration::from_secs(2);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = std::io::stderr().lock();
        if last.elapsed() > PAUSE && out.is_terminal() {
            *last = Instant::now();
            let seconds = self.begun.elapsed().as_secs();
            // Nothing depends on whether somebody sees it.
            drop(writeln!(out, "{seconds:4} s: {case}: {done} of {of}"));
        }
    }
}
