//! The report as JSON.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::report::{CaseReport, Report, Verdict};
use crate::{Law, Step};

impl Report {
    /// The report as one JSON object.
    ///
    /// The object has `suite`, `backend`, `seed`, `passed`, `elapsed_ms` and `cases`. A case has
    /// `name`, `law` (null for a case about all laws), `tried`, `measured`, `elapsed_ms` and
    /// `verdict`, which is one of:
    ///
    /// | verdict | more fields |
    /// |---|---|
    /// | `passed` | |
    /// | `skipped` | `reason` |
    /// | `too-slow` | `reason` |
    /// | `failed` | `reason` |
    /// | `not-run` | |
    /// | `broken` | `broken_law`, `trace`, `steps` |
    ///
    /// # Panics
    ///
    /// Never: everything in a report has a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let report = ReportAsJson {
            suite: &self.suite,
            backend: &self.backend,
            seed: self.seed,
            passed: self.passed(),
            elapsed_ms: milliseconds(self.elapsed),
            cases: self.cases.iter().map(CaseAsJson::from).collect(),
        };
        let mut json = serde_json::to_string_pretty(&report).expect("strings and numbers");
        json.push('\n');
        json
    }
}

#[derive(Serialize)]
struct ReportAsJson<'a> {
    suite: &'a str,
    backend: &'a str,
    seed: u64,
    passed: bool,
    elapsed_ms: u64,
    cases: Vec<CaseAsJson<'a>>,
}

#[derive(Serialize)]
struct CaseAsJson<'a> {
    name: &'a str,
    law: Option<Law>,
    tried: u64,
    measured: &'a [String],
    elapsed_ms: u64,
    #[serde(flatten)]
    verdict: VerdictAsJson<'a>,
}

#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
enum VerdictAsJson<'a> {
    Broken {
        broken_law: Law,
        trace: &'a str,
        #[serde(serialize_with = "as_source")]
        steps: &'a [Step],
    },
    Failed {
        reason: &'a str,
    },
    NotRun,
    Passed,
    Skipped {
        reason: &'a str,
    },
    TooSlow {
        reason: &'a str,
    },
}

impl<'a> From<&'a CaseReport> for CaseAsJson<'a> {
    fn from(case: &'a CaseReport) -> Self {
        Self {
            name: &case.name,
            law: case.law,
            tried: case.tried,
            measured: &case.measured,
            elapsed_ms: milliseconds(case.elapsed),
            verdict: match &case.verdict {
                Verdict::Broken(finding) => VerdictAsJson::Broken {
                    broken_law: finding.law,
                    trace: &finding.trace,
                    steps: &finding.steps,
                },
                Verdict::Failed(reason) => VerdictAsJson::Failed { reason },
                Verdict::NotRun => VerdictAsJson::NotRun,
                Verdict::Passed => VerdictAsJson::Passed,
                Verdict::Skipped(reason) => VerdictAsJson::Skipped { reason },
                Verdict::TooSlow(reason) => VerdictAsJson::TooSlow { reason },
            },
        }
    }
}

/// Each step as Rust source.
fn as_source<S: Serializer>(steps: &&[Step], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(steps.iter().map(|step| format!("{step:?}")))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
