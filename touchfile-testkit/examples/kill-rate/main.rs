//! Counts how many wrong backends the suite rejects, and lists the others.
//!
//! ```text
//! cargo run --release -p touchfile-testkit --features broken --example kill-rate
//! ```
//!
//! The default suite runs against every mutant and against every named backend of `broken`, until it
//! finds something. Two correct backends run among them, which it must not reject.
//!
//! | argument | meaning |
//! |---|---|
//! | `--sample N` | try N of them, chosen by the seed |
//! | `--seed S` | the seed of all random choices except those of the mutants; default: a new one |
//! | `--jobs N` | the number of suites at once; default: one for each processor |
//! | `--table FILE` | write the tables to this file, as Markdown |
//! | `--times` | print the time of each case for those that are not rejected |
//! | `--list` | print the names only |
//! | anything else | a part of the names of those to try |

mod tally;

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use touchfile_fcntl::FcntlBackend;
use touchfile_flock::FlockBackend;
use touchfile_testkit::broken::{self, Broken, Mutant};
use touchfile_testkit::{Law, Suite, Verdict};

use self::tally::{Outcome, Tried};

/// How soon a waiter must be granted a free lock. The late ones among the backends are late by seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// There is one run with a correct backend for this many others.
const CONTROLS: usize = 50;

/// A backend to try.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Honest(u64),
    Mutant(Mutant),
    Named(Broken),
}

impl Subject {
    fn all() -> Vec<Self> {
        let named = broken::all().into_iter().map(Self::Named);
        named
            .chain(Mutant::all().into_iter().map(Self::Mutant))
            .collect()
    }

    fn name(self) -> String {
        match self {
            Self::Honest(number) => format!("honest/{number}"),
            Self::Mutant(mutant) => mutant.name(),
            Self::Named(broken) => broken.name.to_owned(),
        }
    }

    fn laws(self) -> Vec<Law> {
        match self {
            Self::Honest(_) => Vec::new(),
            Self::Mutant(mutant) => mutant.laws().to_vec(),
            Self::Named(broken) => vec![broken.law],
        }
    }

    fn dimension(self) -> &'static str {
        match self {
            Self::Honest(_) => "honest",
            Self::Mutant(mutant) => mutant.dimension(),
            Self::Named(_) => "named",
        }
    }

    fn what(self) -> String {
        match self {
            Self::Honest(_) => "Nothing is wrong with it.".to_owned(),
            Self::Mutant(mutant) => mutant.what(),
            Self::Named(broken) => broken.what.to_owned(),
        }
    }

    fn suite(self) -> Suite {
        match self {
            Self::Honest(number) if number % 2 == 0 => {
                Suite::new(self.name(), |_| FlockBackend::new())
            }
            Self::Honest(_) => Suite::new(self.name(), |_| FcntlBackend::new()),
            Self::Mutant(mutant) if mutant.converts() => {
                Suite::new(self.name(), move |_| mutant.over(FcntlBackend::new()))
            }
            Self::Mutant(mutant) => {
                Suite::new(self.name(), move |_| mutant.over(FlockBackend::new()))
            }
            Self::Named(broken) => Suite::new(self.name(), move |env| (broken.make)(env.dir())),
        }
    }

    fn run(self, seed: u64, times: bool) -> Tried {
        let suite = self.suite().patience(PATIENCE).seed(seed);
        let begun = Instant::now();
        let report = suite.until_first_finding().check(&());
        if let Ok(report) = &report
            && times
            && report.passed()
        {
            for case in &report.cases {
                let (name, tried, took) = (&case.name, case.tried, case.elapsed);
                eprintln!("{took:8.1?} {tried:7} {name}");
            }
        }
        let outcome = match &report {
            Err(error) => Outcome::Failed(error.to_string()),
            Ok(report) => match report.findings().next() {
                Some(finding) => Outcome::Killed {
                    by: finding.case.clone(),
                    law: finding.law,
                    rightly: self.laws().contains(&finding.law),
                    trace: finding.trace.clone(),
                },
                None => match report.cases.iter().find_map(|case| match &case.verdict {
                    Verdict::Failed(why) => Some(format!("{}: {why}", case.name)),
                    _ => None,
                }) {
                    Some(why) => Outcome::Failed(why),
                    None => Outcome::Survived,
                },
            },
        };
        Tried {
            name: self.name(),
            what: self.what(),
            dimension: self.dimension(),
            law: self.laws().first().copied(),
            outcome,
            took: begun.elapsed(),
        }
    }
}

#[derive(Debug, Default)]
struct Arguments {
    sample: Option<usize>,
    seed: Option<u64>,
    jobs: Option<usize>,
    table: Option<String>,
    list: bool,
    times: bool,
    parts: Vec<String>,
}

impl Arguments {
    fn parse() -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text:?} is no number"));
            match word.as_str() {
                "--sample" => {
                    let number: u64 = number(value()?)?;
                    arguments.sample = usize::try_from(number).ok();
                }
                "--seed" => arguments.seed = Some(number(value()?)?),
                "--jobs" => {
                    let number: u64 = number(value()?)?;
                    arguments.jobs = usize::try_from(number).ok();
                }
                "--table" => arguments.table = Some(value()?),
                "--list" => arguments.list = true,
                "--times" => arguments.times = true,
                _ => arguments.parts.push(word),
            }
        }
        Ok(arguments)
    }

    /// The backends to try, in an order that depends on the seed.
    fn subjects(&self, seed: u64) -> Vec<Subject> {
        let mut all = Subject::all();
        let wanted =
            |name: &str| self.parts.is_empty() || self.parts.iter().any(|part| name.contains(part));
        all.retain(|subject| wanted(&subject.name()));
        let mut random = Random(seed);
        for at in (1..all.len()).rev() {
            all.swap(at, random.below(at + 1));
        }
        all.truncate(self.sample.unwrap_or(usize::MAX));
        all
    }
}

/// Random numbers by splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % end as u64).unwrap_or(0)
    }
}

fn main() -> ExitCode {
    // A worker executes the commands of its suite here.
    for subject in Subject::all() {
        subject.suite().work();
    }
    for number in 0..100 {
        Subject::Honest(number).suite().work();
    }
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let seed = arguments
        .seed
        .unwrap_or_else(|| RandomState::new().hash_one(0) & 0xFFFF_FFFF);
    let mut subjects = arguments.subjects(seed);
    if arguments.list {
        let mut out = io::stdout().lock();
        for subject in &subjects {
            // The reader may have closed the pipe.
            if writeln!(out, "{}: {}", subject.name(), subject.what()).is_err() {
                break;
            }
        }
        return ExitCode::SUCCESS;
    }
    let controls = subjects.len().div_ceil(CONTROLS).max(2) as u64;
    for number in 0..controls {
        let at = usize::try_from(number).unwrap_or(0) * CONTROLS;
        subjects.insert(at.min(subjects.len()), Subject::Honest(number));
    }
    let jobs = arguments.jobs.unwrap_or_else(|| {
        thread::available_parallelism().map_or(1, |processors| processors.get())
    });
    let begun = Instant::now();
    let tried = try_all(subjects, seed, jobs, arguments.times);
    let tables = tally::tables(&tried, seed, jobs, begun.elapsed());
    println!("\n{}", tables.summary);
    if let Some(file) = arguments.table
        && let Err(error) = fs::write(&file, &tables.document)
    {
        eprintln!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    if tables.good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn try_all(subjects: Vec<Subject>, seed: u64, jobs: usize, times: bool) -> Vec<Tried> {
    let all = subjects.len();
    let (queue, tried) = (
        Mutex::new(VecDeque::from(subjects)),
        Mutex::new(Vec::with_capacity(all)),
    );
    thread::scope(|threads| {
        for _ in 0..jobs.max(1) {
            threads.spawn(|| {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(subject) = next else { break };
                    let one = subject.run(seed, times);
                    let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                    tried.push(one);
                    let one = &tried[tried.len() - 1];
                    eprintln!("{:4}/{all} {}", tried.len(), one.in_a_line());
                }
            });
        }
    });
    tried.into_inner().unwrap_or_else(PoisonError::into_inner)
}
