//! How many wrong backends does the suite reject, and which not?
//!
//! ```text
//! cargo run --release -p touchfile-testkit --features broken --example kill-rate
//! ```
//!
//! The default suite is run against every mutant, and against the backends of `broken` that have a
//! name of their own, until it finds something. Two honest backends run among them, which it must
//! not reject.
//!
//! | argument | meaning |
//! |---|---|
//! | `--sample N` | N of them, chosen by the seed |
//! | `--seed S` | where all dice come from but those of the mutants; default: another each time |
//! | `--jobs N` | so many suites at once; default: one for each processor |
//! | `--table FILE` | write the tables there, as Markdown |
//! | `--times` | say what each case did and took, of those that are not rejected |
//! | `--list` | only say which there are |
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

use self::tally::{Fate, Tried};

/// How soon a waiter must have a lock that is free. Whoever is late here is so by seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// One honest run for so many others.
const CONTROLS: usize = 50;

/// What is tried.
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
        let fate = match &report {
            Err(error) => Fate::Failed(error.to_string()),
            Ok(report) => match report.findings().next() {
                Some(finding) => Fate::Killed {
                    by: finding.case.clone(),
                    law: finding.law,
                    rightly: self.laws().contains(&finding.law),
                    story: finding.trace.clone(),
                },
                None => match report.cases.iter().find_map(|case| match &case.verdict {
                    Verdict::Failed(why) => Some(format!("{}: {why}", case.name)),
                    _ => None,
                }) {
                    Some(why) => Fate::Failed(why),
                    None => Fate::Survived,
                },
            },
        };
        Tried {
            name: self.name(),
            what: self.what(),
            dimension: self.dimension(),
            law: self.laws().first().copied(),
            fate,
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

    /// What to try, in an order that the seed decides.
    fn subjects(&self, seed: u64) -> Vec<Subject> {
        let mut all = Subject::all();
        let wanted =
            |name: &str| self.parts.is_empty() || self.parts.iter().any(|part| name.contains(part));
        all.retain(|subject| wanted(&subject.name()));
        let mut dice = Dice(seed);
        for at in (1..all.len()).rev() {
            all.swap(at, dice.below(at + 1));
        }
        all.truncate(self.sample.unwrap_or(usize::MAX));
        all
    }
}

/// Numbers that look random: splitmix64.
struct Dice(u64);

impl Dice {
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
    // A worker finds its suite here.
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
            // Whoever reads may have read enough.
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
