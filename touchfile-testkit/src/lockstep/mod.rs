//! Lock-step cases: schedules are played one step at a time, and each answer is compared with the
//! [model].
//!
//! Nothing races here, so a finding can be repeated and its schedule can be shrunk.

mod drive;
mod model;
mod persist;
mod step;
mod strategy;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::test_runner::{
    Config, FailurePersistence, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};
use touchfile_core::Capabilities;

pub(crate) use self::drive::TimeLimits;
use self::drive::{Found, play};
use self::model::Blame;
use self::persist::SeedFile;
use self::step::AsSource;
pub use self::step::Step;
pub(crate) use self::strategy::Theme;
use crate::Law;
use crate::fixture::Host;

/// The limits while a schedule is shrunk.
///
/// They are short, because a schedule in which a wait never ends is played many times. The shrunk
/// schedule is played once more with the limits of the plan.
const SHRINKING: TimeLimits = TimeLimits {
    answer: Duration::from_millis(400),
    grant: Duration::from_millis(200),
    long_polls: false,
};

/// How often a shrunk schedule is played to find out whether it fails every time.
const REPEATS: u32 = 5;

/// How long shrinking may take.
const SHRINK_TIME: Duration = Duration::from_secs(12);

/// What a lock-step case is to do.
pub(crate) struct Plan<'a> {
    pub(crate) theme: Theme,
    pub(crate) claims: Capabilities,
    pub(crate) processes: u8,
    pub(crate) cases: u32,
    pub(crate) seed: u64,
    pub(crate) limits: TimeLimits,
    /// Whether a schedule that fails is shrunk.
    pub(crate) shrink: bool,
    /// The file for the seeds of schedules that fail.
    pub(crate) seeds: Option<PathBuf>,
    /// Called after each schedule with the number of schedules so far. It returns whether to go on.
    pub(crate) progress: &'a dyn Fn(u64) -> bool,
}

/// A broken law, and the schedule that shows it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) law: Law,
    pub(crate) trace: String,
    pub(crate) steps: Vec<Step>,
}

/// Plays random schedules. Returns the number of schedules, and what was found.
///
/// # Errors
///
/// The suite's own.
pub(crate) fn explore(host: &Host, plan: &Plan<'_>) -> Result<(u64, Option<Shown>), String> {
    let real = matches!(host, Host::Processes { .. });
    let strategy = strategy::schedules(plan.theme, plan.claims, plan.processes, real);
    let mut runner = runner(plan);
    let (played, stopped) = (Cell::new(0), Cell::new(false));
    let shrinking: RefCell<Option<(Instant, Found)>> = RefCell::new(None);
    let own: RefCell<Option<String>> = RefCell::new(None);
    let result = runner.run(&strategy, |steps| {
        if stopped.get() || own.borrow().is_some() {
            return Ok(());
        }
        let limits = shrinking
            .borrow()
            .as_ref()
            .map(|(_, first)| shrinking_limits(first));
        let since = shrinking.borrow().as_ref().map(|(since, _)| *since);
        if since.is_some_and(|since| since.elapsed() > SHRINK_TIME) {
            return Ok(());
        }
        match play(host, plan.claims, &steps, limits.unwrap_or(plan.limits)) {
            Ok(None) => {
                if since.is_none() {
                    played.set(played.get() + 1);
                    stopped.set(!(plan.progress)(played.get()));
                }
                Ok(())
            }
            Ok(Some(found)) => {
                let what = found.blame.what.clone();
                shrinking.borrow_mut().get_or_insert_with(|| {
                    played.set(played.get() + 1);
                    (Instant::now(), found)
                });
                Err(TestCaseError::fail(what))
            }
            Err(error) => {
                *own.borrow_mut() = Some(error);
                Ok(())
            }
        }
    });
    if let Some(error) = own.into_inner() {
        return Err(error);
    }
    let first = shrinking.into_inner().map(|(_, found)| found);
    let shown = match (result, first) {
        (Err(TestError::Fail(_, steps)), Some(first)) if !plan.shrink => Some(show(first, steps)),
        (Err(TestError::Fail(_, shrunk)), Some(first)) => Some(confirm(host, plan, shrunk, first)?),
        (Err(error), _) => return Err(error.to_string()),
        (Ok(()), _) => None,
    };
    Ok((played.get(), shown))
}

/// Plays one schedule.
///
/// # Errors
///
/// The suite's own.
pub(crate) fn replay(
    host: &Host,
    claims: Capabilities,
    steps: &[Step],
    limits: TimeLimits,
) -> Result<Option<Shown>, String> {
    let found = play(host, claims, steps, limits)?;
    Ok(found.map(|found| show(found, steps.to_vec())))
}

fn runner(plan: &Plan<'_>) -> TestRunner {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&plan.seed.to_le_bytes());
    seed[8] = plan.theme as u8;
    let keep = |path: &PathBuf| Box::new(SeedFile(path.clone())) as Box<dyn FailurePersistence>;
    let config = Config {
        cases: plan.cases,
        failure_persistence: plan.seeds.as_ref().map(keep),
        max_shrink_iters: if plan.shrink { 4_000 } else { 0 },
        verbose: 0,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// The limits with which a schedule is shrunk.
///
/// If a wait showed the finding, waits are polled for long: it may have depended on the time that
/// other steps took, which shrinking leaves out.
fn shrinking_limits(first: &Found) -> TimeLimits {
    TimeLimits {
        long_polls: first.in_a_wait,
        ..SHRINKING
    }
}

/// Leaves out the steps that can still be left out, and plays the rest with the limits of the plan.
fn confirm(host: &Host, plan: &Plan<'_>, shrunk: Vec<Step>, first: Found) -> Result<Shown, String> {
    let limits = shrinking_limits(&first);
    let smallest = leave_out(host, plan.claims, limits, shrunk)?;
    // A schedule that fails by chance may fail again, but hardly most of the time.
    let mut failed = 0;
    for _ in 0..REPEATS {
        failed += u32::from(play(host, plan.claims, &smallest, limits)?.is_some());
    }
    if failed * 2 > REPEATS {
        if let Some(found) = play(host, plan.claims, &smallest, plan.limits)? {
            return Ok(show(found, smallest));
        }
    }
    let blame = Blame::new(first.blame.at_sight, first.blame.what);
    let first = Found { blame, ..first };
    let mut shown = show(first, Vec::new());
    shown.trace.push_str(&format!(
        "It happens by chance: the shrunk schedule failed in {failed} of {REPEATS} attempts.\n"
    ));
    Ok(shown)
}

fn leave_out(
    host: &Host,
    claims: Capabilities,
    limits: TimeLimits,
    mut steps: Vec<Step>,
) -> Result<Vec<Step>, String> {
    let deadline = Instant::now() + SHRINK_TIME;
    let mut at = 0;
    while at < steps.len() && Instant::now() < deadline {
        let mut fewer = steps.clone();
        fewer.remove(at);
        if play(host, claims, &fewer, limits)?.is_some() {
            steps = fewer;
            at = 0;
        } else {
            at += 1;
        }
    }
    Ok(steps)
}

fn show(found: Found, steps: Vec<Step>) -> Shown {
    let mut trace = String::new();
    for (number, line) in found.trace.iter().enumerate() {
        trace.push_str(&format!("{:3}. {line}\n", number + 1));
    }
    trace.push_str(&format!(
        "This breaks {}: {}.\n",
        found.blame.law, found.blame.what
    ));
    if !steps.is_empty() {
        trace.push_str(&format!("To play it again:\n{}\n", AsSource(&steps)));
    }
    Shown {
        law: found.blame.law,
        trace,
        steps,
    }
}
