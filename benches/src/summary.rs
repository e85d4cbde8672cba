//! The few numbers that tell ways of waiting apart: the table of the README.

use crate::contenders::FLOOR;
use crate::report::{Report, number};

const LINES: [(&str, &str); 8] = [
    (FLOOR, "a thread blocked in flock(2): the floor"),
    (
        "async-fd-lock",
        "async-fd-lock: such a thread for each task",
    ),
    ("filelock, async", "filelock, async: polls"),
    ("10 ms poll", "a 10 ms poll"),
    ("touchfile flock, async", "`TouchFile<FlockBackend>`, async"),
    ("touchfile flock, blocking", "… `blocking()`"),
    ("touchfile fcntl, async", "`TouchFile<FcntlBackend>`, async"),
    ("touchfile fcntl, blocking", "… `blocking()`"),
];

const HEAD: &str = "\
| | handoff, p50 / p99, µs | 8 processes: fairness, longest wait, ms | a writer among 2 readers: longest wait, ms | 64 processes wait, % of a core |
|---|--:|--:|--:|--:|
";

/// Nothing, unless all of it was measured.
pub(crate) fn table(report: &Report) -> String {
    let mut lines = String::new();
    for (contender, name) in LINES {
        let value = |scenario, metric| report.value(scenario, contender, metric).map(number);
        let cells = (|| {
            Some(format!(
                "| {name} | {} / {} | {}, {} | {} | {} |\n",
                value("handoff", "unlock: p50")?,
                value("handoff", "unlock: p99")?,
                value("fairness", "k=8 200 µs: jain")?,
                value("fairness", "k=8 200 µs: longest wait")?,
                value("writer-starvation", "2 readers: longest wait")?,
                value("idle", "processes: CPU")?,
            ))
        })();
        lines.extend(cells);
    }
    if lines.is_empty() {
        return lines;
    }
    format!("\n### summary\n\n{HEAD}{lines}")
}
