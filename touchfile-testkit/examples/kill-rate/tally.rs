//! The results of all trials.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use touchfile_testkit::Law;

/// How many percent have to be rejected, and how many percent of those for the right law.
const KILLED: f64 = 99.0;
const RIGHTLY: f64 = 95.0;

/// The reasons why some are not rejected, each with a part of their names.
const REASONS: &[(&str, &str)] = &[];

/// The result of one trial.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) dimension: &'static str,
    pub(crate) law: Option<Law>,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// The suite itself failed.
    Failed(String),
    Killed {
        by: String,
        law: Law,
        rightly: bool,
        trace: String,
    },
    Survived,
}

/// The tables about all trials.
pub(crate) struct Tables {
    pub(crate) summary: String,
    pub(crate) document: String,
    pub(crate) good: bool,
}

#[derive(Debug, Default)]
struct Counts {
    tried: usize,
    killed: usize,
    rightly: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        self.tried += 1;
        if let Outcome::Killed { rightly, .. } = outcome {
            self.killed += 1;
            self.rightly += usize::from(*rightly);
        }
    }

    fn killed(&self) -> f64 {
        percent(self.killed, self.tried)
    }

    fn rightly(&self) -> f64 {
        percent(self.rightly, self.killed)
    }
}

impl Tried {
    fn is_honest(&self) -> bool {
        self.law.is_none()
    }

    pub(crate) fn in_a_line(&self) -> String {
        let (name, seconds) = (&self.name, self.took.as_secs_f64());
        match &self.outcome {
            Outcome::Failed(why) => format!("{name}: the suite failed after {seconds:.1} s: {why}"),
            Outcome::Killed {
                by, law, rightly, ..
            } => {
                let how = if *rightly { "" } else { ", WRONGLY" };
                format!("{name}: {law}{how}, by {by} after {seconds:.1} s")
            }
            Outcome::Survived => format!("{name}: SURVIVED, {seconds:.1} s"),
        }
    }
}

pub(crate) fn tables(tried: &[Tried], seed: u64, jobs: usize, took: Duration) -> Tables {
    let (mut total, mut dimensions) = (Counts::default(), BTreeMap::<_, Counts>::new());
    for one in tried.iter().filter(|one| !one.is_honest()) {
        total.add(&one.outcome);
        dimensions
            .entry(one.dimension)
            .or_default()
            .add(&one.outcome);
    }
    let honest: Vec<_> = tried.iter().filter(|one| one.is_honest()).collect();
    let accused = honest
        .iter()
        .filter(|one| !matches!(one.outcome, Outcome::Survived));
    let accused = accused.count();
    let mut summary = format!(
        "{} tried, {} rejected ({:.1} %), {} of those for the right law ({:.1} %).\n\
         Of {} honest runs, {accused} were rejected.\n\
         Seed {seed}, {jobs} at once, {:.0} minutes.\n\n",
        total.tried,
        total.killed,
        total.killed(),
        total.rightly,
        total.rightly(),
        honest.len(),
        took.as_secs_f64() / 60.0,
    );
    table(&mut summary, "dimension", &dimensions);
    let mut lists = String::new();
    list(&mut lists, "Not rejected", tried, |one| {
        let reason = REASONS.iter().find(|(part, _)| one.name.contains(part));
        match &one.outcome {
            Outcome::Survived => Some(reason.map_or("", |(_, why)| why).to_owned()),
            Outcome::Failed(why) => Some(format!("The suite failed: {why}")),
            Outcome::Killed { .. } => None,
        }
    });
    list(
        &mut lists,
        "Rejected for another law",
        tried,
        |one| match (&one.outcome, one.law) {
            (
                Outcome::Killed {
                    by,
                    law,
                    rightly: false,
                    ..
                },
                Some(right),
            ) => Some(format!("`{by}` says {law}, it is {right}")),
            _ => None,
        },
    );
    summary.push_str(&lists);
    for one in &honest {
        if let Outcome::Killed { by, trace, .. } = &one.outcome {
            write!(summary, "\n{} was rejected by {by}:\n{trace}", one.name).ok();
        }
    }
    let mut document = String::from(HEAD);
    document.push_str(&summary);
    document.push_str("\n## Each\n\n| mutant | what is wrong | rejected by | as | after |\n|---|---|---|---|--:|\n");
    let mut sorted: Vec<_> = tried.iter().filter(|one| !one.is_honest()).collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    for one in sorted {
        let (by, law) = match &one.outcome {
            Outcome::Killed { by, law, .. } => (format!("`{by}`"), law.to_string()),
            _ => ("**not rejected**".into(), String::new()),
        };
        let (name, what, seconds) = (&one.name, &one.what, one.took.as_secs_f64());
        writeln!(
            document,
            "| `{name}` | {what} | {by} | {law} | {seconds:.1} s |"
        )
        .ok();
    }
    Tables {
        summary,
        document,
        good: total.killed() >= KILLED && total.rightly() >= RIGHTLY && accused == 0,
    }
}

const HEAD: &str = "\
# Wrong backends, and what the suite says of them

Made by `cargo run --release -p touchfile-testkit --features broken --example kill-rate -- --table
docs/mutants.md`: the default suite against every mutant, until it finds something. A mutant is an
honest backend with one fault, which shows when its trigger says so: `fault/trigger/scope`.

";

fn table(text: &mut String, head: &str, rows: &BTreeMap<&str, Counts>) {
    writeln!(
        text,
        "| {head} | mutants | rejected | | right law | |\n|---|--:|--:|--:|--:|--:|"
    )
    .ok();
    for (name, counts) in rows {
        writeln!(
            text,
            "| {name} | {} | {} | {:.1} % | {} | {:.1} % |",
            counts.tried,
            counts.killed,
            counts.killed(),
            counts.rightly,
            counts.rightly()
        )
        .ok();
    }
}

fn list(text: &mut String, head: &str, tried: &[Tried], why: impl Fn(&Tried) -> Option<String>) {
    let mut lines: Vec<_> = tried
        .iter()
        .filter(|one| !one.is_honest())
        .filter_map(|one| Some(format!("- `{}`: {}", one.name, why(one)?)))
        .collect();
    if lines.is_empty() {
        return;
    }
    lines.sort();
    write!(text, "\n## {head}\n\n{}\n", lines.join("\n")).ok();
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 100.0;
    }
    part as f64 * 100.0 / whole as f64
}
