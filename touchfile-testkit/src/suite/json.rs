//! A report for machines.

use serde_json::{Value, json};

use super::report::{CaseReport, Report, Verdict};
use crate::Law;

impl Report {
    /// The report as one JSON object.
    ///
    /// It has `suite`, `backend`, `seed`, `passed`, `elapsed_ms`, and `cases`; a case has `name`,
    /// `law` (null for cases that are about all), `tried`, `measured`, `elapsed_ms` and `verdict`:
    /// `passed`, `skipped` or `failed` with a `reason`, `not-run`, or `broken` with `broken_law`,
    /// `trace` and `steps`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let report = json!({
            "suite": self.suite,
            "backend": self.backend,
            "seed": self.seed,
            "passed": self.passed(),
            "elapsed_ms": milliseconds(self.elapsed),
            "cases": self.cases.iter().map(case).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}

fn case(case: &CaseReport) -> Value {
    let mut object = json!({
        "name": case.name,
        "law": case.law.map(Law::name),
        "tried": case.tried,
        "measured": case.measured,
        "elapsed_ms": milliseconds(case.elapsed),
    });
    match &case.verdict {
        Verdict::Broken(finding) => {
            object["verdict"] = "broken".into();
            object["broken_law"] = finding.law.name().into();
            object["trace"] = finding.trace.as_str().into();
            let steps = finding.steps.iter().map(|step| format!("{step:?}"));
            object["steps"] = steps.collect();
        }
        Verdict::Failed(why) => {
            object["verdict"] = "failed".into();
            object["reason"] = why.as_str().into();
        }
        Verdict::NotRun => object["verdict"] = "not-run".into(),
        Verdict::Passed => object["verdict"] = "passed".into(),
        Verdict::Skipped(why) => {
            object["verdict"] = "skipped".into();
            object["reason"] = why.as_str().into();
        }
    }
    object
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
