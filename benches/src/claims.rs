//! The numbers that decide what the documentation may say.

use std::fmt::Write as _;

use crate::contenders::{self, Contender, FLOOR};
use crate::report::{Report, number};

/// Who has to keep a claim.
#[derive(Clone, Copy)]
enum Who {
    Async,
    Both,
    Only(&'static str),
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// This often the floor's.
    AtMostFloor(f64),
    /// The 10 ms poll's is this often as much.
    PollIsAtLeast(f64),
}

struct Claim {
    what: String,
    scenario: &'static str,
    metric: String,
    who: Who,
    bound: Bound,
}

/// What an uncontended cycle was, in floors, while waiting was still a poll and unfair.
const UNCONTENDED_BEFORE: [(&str, f64); 4] = [
    ("touchfile flock, async", 2.87),
    ("touchfile flock, blocking", 2.96),
    ("touchfile flock, async, verify off", 1.23),
    ("touchfile flock, blocking, verify off", 1.31),
];

/// What fairness may cost.
const TOLERANCE: f64 = 1.15;

/// Each claim about what was measured, with the number that it rests on.
pub(crate) fn judge(report: &Report) -> String {
    let mut lines = String::new();
    for claim in claims() {
        for contender in contenders::all().filter(|contender| claim.concerns(contender)) {
            if let Some(line) = claim.line(report, contender) {
                lines.push_str(&line);
            }
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!(
        "\n### claims\n\nWhat each claim rests on. A short run, or one on a busy machine, decides \
         nothing.\n\n| claim | contender | measured | floor | asked for | |\n|---|---|--:|--:|--:|---|\n{lines}"
    )
}

impl Claim {
    fn concerns(&self, contender: &Contender) -> bool {
        let fits = match self.who {
            Who::Async => contender.is_async(),
            Who::Both => true,
            Who::Only(name) => contender.name == name,
        };
        contender.is_ours() && fits
    }

    fn line(&self, report: &Report, contender: &Contender) -> Option<String> {
        let value = |name| report.value(self.scenario, name, &self.metric);
        let own = value(contender.name).filter(|value| !value.is_nan())?;
        let (measured, asked, holds) = match self.bound {
            Bound::AtLeast(bound) => (number(own), format!("≥ {}", number(bound)), own >= bound),
            Bound::AtMost(bound) => (number(own), format!("≤ {}", number(bound)), own <= bound),
            Bound::AtMostFloor(bound) => {
                let ratio = own / value(FLOOR)?;
                (
                    format!("{ratio:.2} × floor"),
                    format!("≤ {bound} × floor"),
                    ratio <= bound,
                )
            }
            Bound::PollIsAtLeast(bound) => {
                let ratio = value("10 ms poll")? / own;
                (
                    format!("{ratio:.1} ×"),
                    format!("≥ {bound} ×"),
                    ratio >= bound,
                )
            }
        };
        let verdict = if holds { "holds" } else { "falls short" };
        // Beside it, because a busy machine is late for all.
        let floor = value(FLOOR).map_or_else(|| "-".to_owned(), number);
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            line,
            "| {} | {} | {measured} | {floor} | {asked} | {verdict} |",
            self.what, contender.name
        );
        Some(line)
    }
}

fn claims() -> Vec<Claim> {
    let mut all = Vec::new();
    let mut claim = |what: &str, scenario, metric: &str, who, bound| {
        all.push(Claim {
            what: what.to_owned(),
            scenario,
            metric: metric.to_owned(),
            who,
            bound,
        });
    };
    for (name, before) in UNCONTENDED_BEFORE {
        let bound = Bound::AtMostFloor((before * TOLERANCE * 100.0_f64).round() / 100.0);
        claim(
            "uncontended: p50",
            "uncontended",
            "p50",
            Who::Only(name),
            bound,
        );
    }
    for (scenario, variant) in [
        ("handoff", "unlock: "),
        ("handoff", "drop: "),
        ("handoff", "exit: "),
        ("crash", ""),
    ] {
        let how = if variant.is_empty() {
            "SIGKILL"
        } else {
            variant.trim_end_matches(": ")
        };
        let (p50, p99) = (format!("{variant}p50"), format!("{variant}p99"));
        claim(
            &format!("handoff after {how}: p50"),
            scenario,
            &p50,
            Who::Both,
            Bound::AtMostFloor(3.0),
        );
        claim(
            &format!("handoff after {how}: p99, µs"),
            scenario,
            &p99,
            Who::Both,
            Bound::AtMost(2_000.0),
        );
        claim(
            &format!("handoff after {how}: p50 of a 10 ms poll"),
            scenario,
            &p50,
            Who::Both,
            Bound::PollIsAtLeast(50.0),
        );
    }
    claim(
        "foreign holder: latest, µs",
        "handoff",
        "foreign: max",
        Who::Both,
        Bound::AtMost(10_000.0),
    );

    claim(
        "cancel: drop p50, µs",
        "cancel",
        "drop p50",
        Who::Async,
        Bound::AtMost(1_000.0),
    );
    claim(
        "cancel: deadline p50, µs late",
        "cancel",
        "deadline p50",
        Who::Both,
        Bound::AtMost(1_000.0),
    );
    for left in [
        "abandoned threads",
        "ghosts",
        "left: threads",
        "left: descriptors",
        "left: watches",
        "left: locks",
    ] {
        claim(
            &format!("cancel: {left}"),
            "cancel",
            left,
            Who::Both,
            Bound::AtMost(0.0),
        );
    }

    for (who, metric) in [
        ("100 tasks and 64 processes", "together"),
        ("100 tasks, own paths", "own paths"),
        ("100 tasks, foreign holder", "foreign holder"),
    ] {
        claim(
            &format!("idle: {who}, % of a core"),
            "idle",
            &format!("{metric}: CPU"),
            Who::Both,
            Bound::AtMost(1.0),
        );
    }

    for count in [2, 4, 8] {
        for section in [20, 200] {
            let variant = format!("k={count} {section} µs");
            claim(
                &format!("fairness, {variant}: Jain"),
                "fairness",
                &format!("{variant}: jain"),
                Who::Both,
                Bound::AtLeast(0.95),
            );
            claim(
                &format!("fairness, {variant}: longest wait"),
                "fairness",
                &format!("{variant}: longest wait"),
                Who::Both,
                Bound::AtMostFloor(1.0),
            );
        }
    }
    for readers in [2, 3, 4] {
        claim(
            &format!("writer among {readers} readers: longest wait, ms"),
            "writer-starvation",
            &format!("{readers} readers: longest wait"),
            Who::Both,
            Bound::AtMost(100.0),
        );
    }

    for count in [1_000, 10_000] {
        let mut fan_in = |what: &str, metric: &str, bound| {
            let metric = format!("{count} tasks: {metric}");
            claim(
                &format!("{count} tasks: {what}"),
                "fan-in",
                &metric,
                Who::Async,
                bound,
            );
        };
        fan_in("acquisitions/s", "rate", Bound::AtLeast(150_000.0));
        fan_in(
            "first come, first served, %",
            "in order",
            Bound::AtLeast(100.0),
        );
        fan_in("threads", "threads", Bound::AtMost(0.0));
        fan_in("memory, B/task", "memory", Bound::AtMost(2_048.0));
    }
    all
}
