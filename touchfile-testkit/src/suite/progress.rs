//! The progress of a run.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::report::CaseReport;

/// Receives the progress of a [`check`](crate::Suite::check), from several threads.
///
/// # Examples
///
/// ```
/// use touchfile_testkit::{CaseReport, Observer, Suite};
///
/// struct Names;
///
/// impl Observer for Names {
///     fn finished(&self, case: &CaseReport) {
///         println!("{} took {:?}", case.name, case.elapsed);
///     }
/// }
///
/// let suite = Suite::in_process("mock", |world, process| world.process(process));
/// suite.only("release::unlocking").check(&Names)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Observer: Sync {
    /// The run begins, with these cases.
    fn planned(&self, cases: &[&str]) {
        let _ = cases;
    }

    /// A case begins.
    fn started(&self, case: &str) {
        let _ = case;
    }

    /// Part of a case is done: `done` repetitions of `of`.
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

/// Prints the progress of long cases, if standard error is a terminal.
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
            // Progress that cannot be printed is no reason to fail.
            drop(writeln!(out, "{seconds:4} s: {case}: {done} of {of}"));
        }
    }
}
