//! Measures how likely the suite misses a broken backend.
//!
//! ```text
//! cargo run --release -p touchfile-testkit --features broken --example power
//! ```
//!
//! Each backend of `broken` is tried with new seeds, again and again, by each case that can find it. A
//! case is a number of independent tries: schedules or rounds. If one try finds the backend with the
//! probability `p`, a case with `k` tries misses it with the probability `(1 - p)^k`, and several cases
//! miss it with the product of their probabilities.
//!
//! Cases that play schedules are tried until they find the backend. The others are tried with a small
//! share of their usual rounds, because a case that finds the backend each time does not show how often
//! it would miss it. For a case that has never missed the backend, the highest probability that fits this
//! observation is used, with a confidence of 95 %. Such a case is tried until that probability is low
//! enough, or for a minute and a half. A finding of such a case counts if it names the law that is
//! broken. Schedules are not shrunk, so the law of their findings is not judged.
//!
//! Arguments: `--runs N` is the number of times that each case has to find each backend (default 30). Any
//! other word is a part of the names of the backends to try.

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use touchfile_testkit::broken::{self, Broken};
use touchfile_testkit::{CaseReport, Law, Report, Suite, Verdict};

/// The cases that play random schedules.
const SCHEDULES: &str = "lockstep::";

/// How many schedules each of these cases plays by default.
const DEFAULT: u32 = 256;

/// A case that finds nothing in this many schedules is taken to find nothing at all.
const IN_VAIN: u32 = 3 * DEFAULT;

/// A case without schedules is tried with one of this many parts of its usual rounds.
const SHARE: u32 = 32;

/// The largest number of tries of a case, and the longest time for the cases of a backend.
const OFTEN: u64 = 4_000;
const LONG: Duration = Duration::from_secs(90);

/// How many cases of each backend the table has.
const REPORTED: usize = 3;

/// The highest probability to miss a backend whose fault single steps show, and any other backend.
const IN_LOCKSTEP: f64 = 1e-6;
const ELSEWHERE: f64 = 1e-3;

/// How many backends are tried at once. The workers sleep most of the time.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    let mut all = broken::all();
    honest().work();
    for broken in &all {
        suite(broken).work();
    }
    let mut words: Vec<String> = env::args().skip(1).collect();
    let mut runs = 30;
    if let Some(at) = words.iter().position(|word| word == "--runs") {
        let given = words.get(at + 1).and_then(|word| word.parse().ok());
        runs = given.unwrap_or(runs);
        words.drain(at..(at + 2).min(words.len()));
    }
    all.retain(|broken| words.is_empty() || words.iter().any(|word| broken.name.contains(word)));
    let begun = Instant::now();
    let (next, measured) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some(broken) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let rows = if broken.in_lockstep {
                        by_schedules(broken, runs)
                    } else {
                        by_other_cases(broken, runs)
                    };
                    eprintln!("{}: {:.0e}", broken.name, missed_by_all(&rows));
                    let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
                    measured.insert(broken.name, rows);
                }
            });
        }
    });
    let measured = measured
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    print(&all, &measured);
    let missed = |broken: &&Broken| missed_by_all(&measured[broken.name]) > asked_for(broken);
    let never = |broken: &&Broken| measured[broken.name].iter().any(Row::never_missed);
    let (unknown, weak): (Vec<_>, Vec<_>) = all.iter().filter(missed).partition(never);
    let names = |all: &[&Broken]| {
        all.iter()
            .map(|broken| broken.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("\nThis took {minutes:.0} minutes; each case was to find each backend {runs} times.");
    if !unknown.is_empty() {
        println!(
            "Never missed, and tried too seldom to know more: {}.",
            names(&unknown)
        );
    }
    if weak.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("Weaker than asked for: {}.", names(&weak));
    ExitCode::FAILURE
}

fn print(all: &[Broken], measured: &BTreeMap<&str, Vec<Row>>) {
    println!("| backend | missed | by | found | tries | missed by this case |");
    println!("|---|--:|---|--:|--:|--:|");
    for broken in all {
        let rows = &measured[broken.name];
        let missed = missed_by_all(rows);
        let (mut name, mut in_all) = (broken.name, in_words(missed));
        for row in rows.iter().take(REPORTED) {
            let (case, found, tries, by_this) =
                (&row.case, row.found, row.tries, in_words(row.missed()));
            println!("| {name} | {in_all} | `{case}` | {found} | {tries} | {by_this} |");
            (name, in_all) = ("", String::new());
        }
    }
}

/// A probability as text. Very small ones cannot be measured.
fn in_words(probability: f64) -> String {
    if probability < 1e-12 {
        "< 1e-12".into()
    } else {
        format!("{probability:.0e}")
    }
}

fn asked_for(broken: &Broken) -> f64 {
    if broken.in_lockstep {
        IN_LOCKSTEP
    } else {
        ELSEWHERE
    }
}

/// The result of one case.
#[derive(Debug)]
struct Row {
    case: String,
    /// How often the case found the backend, and in how many tries.
    found: u64,
    tries: u64,
    /// The number of such tries in a run with the default settings.
    by_default: f64,
}

impl Row {
    fn never_missed(&self) -> bool {
        self.found == self.tries
    }

    /// The probability that a run with the default settings misses the backend.
    fn missed(&self) -> f64 {
        let (found, tries) = (self.found as f64, self.tries as f64);
        let once = if self.never_missed() {
            1.0 - 0.05_f64.powf(1.0 / tries)
        } else {
            1.0 - found / tries
        };
        once.powf(self.by_default)
    }
}

fn missed_by_all(rows: &[Row]) -> f64 {
    rows.iter().map(Row::missed).product()
}

fn suite(broken: &Broken) -> Suite {
    let make = broken.make;
    Suite::new(broken.name, move |env| make(env.dir()))
        .patience(Duration::from_secs(1))
        .shrink(false)
}

fn honest() -> Suite {
    Suite::new("honest", |_| touchfile_flock::FlockBackend::new())
}

fn in_memory() -> Suite {
    Suite::in_process("in-memory", |world, process| world.process(process))
}

fn check(suite: Suite) -> Report {
    suite.check(&()).expect("a directory for lock files")
}

fn by_schedules(broken: &Broken, runs: u64) -> Vec<Row> {
    let cases = check(suite(broken).only(SCHEDULES).cases(1)).cases;
    let cases = cases
        .iter()
        .map(|case| by_one_theme(broken, &case.name, runs));
    sorted(cases.filter(|row| row.found > 0).collect())
}

fn by_one_theme(broken: &Broken, case: &str, runs: u64) -> Row {
    let mut row = Row {
        case: case.to_owned(),
        found: 0,
        tries: 0,
        by_default: f64::from(DEFAULT),
    };
    while row.found < runs {
        let report = check(suite(broken).only(case).cases(IN_VAIN));
        let this = &report.cases[0];
        row.tries += this.tried;
        match law(this) {
            Some(_) => row.found += 1,
            None if row.found == 0 => break,
            None => {}
        }
    }
    row
}

fn by_other_cases(broken: &Broken, runs: u64) -> Vec<Row> {
    let begun = Instant::now();
    let cases = check(suite(broken)).cases;
    let finding = cases
        .iter()
        .filter(|case| law(case).is_some() && !case.name.starts_with(SCHEDULES));
    let mut finding: Vec<_> = finding.collect();
    finding.sort_by_key(|case| case.elapsed);
    let mut rows: Vec<Row> = Vec::new();
    // The fastest cases come first, until their probability is low enough.
    for case in finding {
        let mut row = Row {
            case: case.name.clone(),
            found: 0,
            tries: 0,
            by_default: rounds(&case.name),
        };
        while row.found < runs && row.tries < 2 * runs {
            try_once(broken, &mut row);
        }
        if row.found > 0 {
            rows.push(row);
        }
        if rows.len() == REPORTED && missed_by_all(&rows) <= ELSEWHERE {
            break;
        }
    }
    // In the same time the fastest cases have more tries, and so a better estimate.
    while missed_by_all(&rows) > ELSEWHERE && begun.elapsed() < LONG {
        for row in rows.iter_mut().filter(|row| row.tries < OFTEN) {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(500) {
                try_once(broken, row);
            }
        }
    }
    sorted(rows)
}

fn try_once(broken: &Broken, row: &mut Row) {
    let report = check(suite(broken).only(&row.case).cases(DEFAULT / SHARE));
    let this = report.cases.iter().find(|case| case.name == row.case);
    row.found += u64::from(this.is_some_and(|case| law(case) == Some(broken.law)));
    row.tries += 1;
}

/// How many times as much a case does by default as with its small share. It is counted with two correct
/// backends: flock, and one in memory that can convert locks.
fn rounds(case: &str) -> f64 {
    // Races count their calls, and each race has another number of calls.
    if case.starts_with("free::") {
        return 4.0;
    }
    let tried = |suite: Suite| {
        let report = check(suite.only(case));
        let this = report.cases.iter().find(|this| this.name == case);
        this.map_or(0, |case| case.tried)
    };
    let ratio = |suite: fn() -> Suite| {
        tried(suite().cases(DEFAULT)) / tried(suite().cases(DEFAULT / SHARE)).max(1)
    };
    ratio(honest).max(ratio(in_memory)).max(1) as f64
}

/// Sorts the rows by the probability to miss the backend.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.missed().total_cmp(&b.missed()));
    rows
}

/// The law that a case found broken.
fn law(case: &CaseReport) -> Option<Law> {
    match &case.verdict {
        Verdict::Broken(finding) => Some(finding.law),
        _ => None,
    }
}
