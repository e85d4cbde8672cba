//! Runs the cases, as a test program or for another program.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tempfile::TempDir;
use touchfile_core::{Capabilities, LockBackend};
use touchfile_mock::World;

use super::options::First;
use super::progress::{Observer, OnTerminal};
use super::report::{CaseReport, Report, Verdict};
use super::{Env, Make, Suite, cases, options};
use crate::case::{Case, Context, Outcome, Undone};
use crate::fixture::Host;
use crate::process::{Launch, Place, Pool};
use crate::system;

/// Runs the suite with the arguments of the command line.
pub(super) fn as_test_program(suite: Suite) -> ExitCode {
    try_as_test_program(suite).unwrap_or_else(|error| {
        eprintln!("the conformance suite cannot run: {error}");
        ExitCode::FAILURE
    })
}

fn try_as_test_program(suite: Suite) -> io::Result<ExitCode> {
    let mut words: Vec<_> = env::args_os().collect();
    let json_file = options::take_json(&mut words)?;
    // An argument that is not UTF-8 cannot match the name of a case.
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    let arguments = Arguments::from_iter(words);
    let run = Arc::new(Running::new(suite, First::Environment)?);
    let observer = Arc::new(OnTerminal::new());
    let trials = (0..run.cases.len()).map(|number| {
        let (run, observer) = (run.clone(), observer.clone());
        let name = run.cases[number].name.clone();
        Trial::ignorable_test(name, move || trial(&run, number, &*observer))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if !arguments.list {
        let report = run.report();
        println!("{report}");
        if let Some(file) = json_file {
            fs::write(&file, report.to_json())?;
        }
    }
    Ok(conclusion.exit_code())
}

fn trial(run: &Running, number: usize, observer: &dyn Observer) -> Result<Completion, Failed> {
    match run.run_case(number, observer) {
        Verdict::Broken(finding) => {
            Err(format!("{} is broken\n{}", finding.law, finding.trace).into())
        }
        Verdict::Failed(why) => Err(format!("the suite failed: {why}").into()),
        Verdict::Skipped(why) => Ok(Completion::ignored_with(why)),
        Verdict::TooSlow(why) => Ok(Completion::ignored_with(format!(
            "too slow to judge: {why}"
        ))),
        Verdict::NotRun | Verdict::Passed => Ok(Completion::Completed),
    }
}

/// Runs every case, on as many threads as there are processors, but two to four.
pub(super) fn for_program(suite: Suite, observer: &dyn Observer) -> io::Result<Report> {
    if crate::process::suite_of_this_worker().is_some() {
        return Ok(empty(suite)); // another suite's worker
    }
    let run = Running::new(suite, First::Own)?;
    let names: Vec<_> = run.cases.iter().map(|case| case.name.as_str()).collect();
    observer.planned(&names);
    let queue: Mutex<VecDeque<_>> = Mutex::new((0..run.cases.len()).collect());
    let threads = thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !run.ended.load(Ordering::Relaxed) {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(number) = next else { break };
                    run.run_case(number, observer);
                }
            });
        }
    });
    Ok(run.report())
}

/// A run of a suite.
struct Running {
    suite: Suite,
    backend: &'static str,
    claims: Capabilities,
    host: Host,
    cases: Vec<Case>,
    number_of_cases: u32,
    seed: u64,
    /// The directory for the seeds of schedules that fail.
    seeds: Option<PathBuf>,
    begun: Instant,
    reports: Mutex<Vec<CaseReport>>,
    /// A law is broken, and the suite ends at the first finding.
    ended: AtomicBool,
    /// The directory for lock files, which is removed when this is dropped.
    _dir: Option<TempDir>,
}

impl Running {
    fn new(suite: Suite, first: First) -> io::Result<Self> {
        let (host, backend, dir) = host(&suite)?;
        let seeds = suite
            .source_dir
            .as_ref()
            .map(|dir| seed_dir(dir, &suite.name));
        let mut cases = cases::cases(&suite.replays);
        if !suite.only.is_empty() {
            cases.retain(|case| suite.only.iter().any(|part| case.name.contains(part)));
        }
        check_skips(&suite, &cases)?;
        let reports = cases.iter().map(not_run).collect();
        Ok(Self {
            backend: backend.name(),
            claims: backend.capabilities(),
            number_of_cases: options::cases(suite.cases, first)?,
            seed: options::seed(suite.seed, first)?,
            host,
            cases,
            seeds,
            begun: Instant::now(),
            reports: Mutex::new(reports),
            ended: AtomicBool::new(false),
            suite,
            _dir: dir,
        })
    }

    fn run_case(&self, number: usize, observer: &dyn Observer) -> Verdict {
        let case = &self.cases[number];
        observer.started(&case.name);
        let begun = Instant::now();
        let mut report = not_run(case);
        match self.try_case(case, observer) {
            Ok(done) => {
                report.verdict = Verdict::Passed;
                report.tried = done.tried;
                report.measured = done.measured;
            }
            Err(Undone::Broken(mut finding, tried)) => {
                finding.case.clone_from(&case.name);
                self.ended
                    .fetch_or(self.suite.until_first_finding, Ordering::Relaxed);
                report.tried = tried;
                report.verdict = Verdict::Broken(*finding);
            }
            Err(Undone::Failed(why)) => report.verdict = Verdict::Failed(why),
            Err(Undone::Skipped(why)) => report.verdict = Verdict::Skipped(why),
            Err(Undone::TooSlow { done, planned }) => {
                report.tried = done;
                report.verdict = Verdict::TooSlow(format!(
                    "there was time for {done} of {planned} repetitions"
                ));
            }
        }
        report.elapsed = begun.elapsed();
        observer.finished(&report);
        let verdict = report.verdict.clone();
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)[number] = report;
        verdict
    }

    fn try_case(&self, case: &Case, observer: &dyn Observer) -> Outcome {
        if let Some((_, why)) = self.suite.skips.iter().find(|(name, _)| *name == case.name) {
            return Err(Undone::Skipped(why.clone()));
        }
        let missing = case
            .needs
            .iter()
            .find_map(|need| need.is_missing(self.claims, &self.host));
        if let Some(why) = missing {
            return Err(Undone::Skipped(why));
        }
        (case.run)(&Context {
            host: &self.host,
            claims: self.claims,
            processes: self.suite.processes,
            cases: self.number_of_cases,
            seed: self.seed,
            seeds: self.seeds.as_deref(),
            patience: self.suite.patience,
            shrink: self.suite.shrink,
            death_grace: death_grace(&self.suite, self.claims),
            progress: &|done, of| {
                observer.progressed(&case.name, done, of);
                !self.ended.load(Ordering::Relaxed)
            },
        })
    }

    fn report(&self) -> Report {
        Report {
            suite: self.suite.name.clone(),
            backend: self.backend.to_owned(),
            seed: self.seed,
            elapsed: self.begun.elapsed(),
            cases: self
                .reports
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

fn host(suite: &Suite) -> io::Result<(Host, touchfile_core::BoxBackend, Option<TempDir>)> {
    match &suite.make {
        Make::InWorld(make) => {
            let backend = make(&World::new(), "a");
            Ok((Host::Worlds(make.clone()), backend, None))
        }
        Make::WithFiles(make) => {
            let parent = suite.dir.clone().unwrap_or_else(env::temp_dir);
            let dir = tempfile::Builder::new()
                .prefix("touchfile-testkit-")
                .tempdir_in(parent)?;
            // Workers may have another current directory, and need the absolute path.
            let path = system::canonical(dir.path())?;
            let backend = make(&Env { dir: path.clone() });
            let here = [Place::new(path.parent().unwrap_or(&path))];
            let places = match suite.places.as_slice() {
                [] => &here[..],
                places => places,
            };
            let pools: Result<Vec<_>, _> = places
                .iter()
                .map(|place| Launch::new(&suite.name, &path, place).map(Pool::new))
                .collect();
            let pools = pools.map_err(io::Error::other)?;
            let grace = death_grace(suite, backend.capabilities());
            let host = Host::processes(pools, path, grace);
            Ok((host, backend, Some(dir)))
        }
    }
}

/// How long the locks of the dead may stay.
fn death_grace(suite: &Suite, claims: Capabilities) -> Duration {
    suite.death_grace.unwrap_or(claims.death_lag)
}

/// The directory for the seeds of schedules that failed.
fn seed_dir(source_dir: &Path, suite: &str) -> PathBuf {
    source_dir
        .join("proptest-regressions/conformance")
        .join(suite)
}

/// Refuses to skip a case that does not exist, since the case that was meant would run.
fn check_skips(suite: &Suite, cases: &[Case]) -> io::Result<()> {
    let unknown = suite
        .skips
        .iter()
        .find(|(name, _)| suite.only.is_empty() && !cases.iter().any(|case| case.name == *name));
    match unknown {
        None => Ok(()),
        Some((name, _)) => Err(io::Error::other(format!(
            "there is no case {name:?} to skip: `--list` lists them"
        ))),
    }
}

fn not_run(case: &Case) -> CaseReport {
    CaseReport {
        name: case.name.clone(),
        law: case.law,
        verdict: Verdict::NotRun,
        tried: 0,
        measured: Vec::new(),
        elapsed: Duration::ZERO,
    }
}

fn empty(suite: Suite) -> Report {
    Report {
        suite: suite.name,
        backend: String::new(),
        seed: 0,
        elapsed: Duration::ZERO,
        cases: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use touchfile_mock::MockBackend;

    use super::*;

    #[test]
    fn the_dead_have_the_time_that_is_claimed_unless_the_suite_says_otherwise() {
        let mut claims = Capabilities::NONE;
        claims.death_lag = Duration::from_secs(10);
        let suite = || Suite::new("lag", |_| MockBackend::new());
        assert_eq!(death_grace(&suite(), claims), Duration::from_secs(10));
        let own = suite().death_grace(Duration::from_secs(60));
        assert_eq!(death_grace(&own, claims), Duration::from_secs(60));
    }
}
