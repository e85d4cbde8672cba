//! The results of a run.

use std::time::Duration;

use crate::{Finding, Law};

/// The result of a run of the suite.
///
/// Its [`Display`](std::fmt::Display) form is the summary that a test program prints.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The name of the suite.
    pub suite: String,
    /// The name of the backend.
    pub backend: String,
    /// The seed of all random choices.
    pub seed: u64,
    /// How long the run took.
    pub elapsed: Duration,
    /// The results of all cases, in the order of the suite.
    pub cases: Vec<CaseReport>,
}

/// The result of one case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// The name of the case, such as `exclusion::two_handles_of_one_process_exclude_each_other`.
    pub name: String,
    /// The law that the case is about. Random schedules, races and walks are about all laws.
    pub law: Option<Law>,
    /// How the case ended.
    pub verdict: Verdict,
    /// How often something was tried that could have failed.
    pub tried: u64,
    /// What was measured, in sentences.
    pub measured: Vec<String>,
    /// How long the case took.
    pub elapsed: Duration,
}

/// How a case ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// A law is broken.
    Broken(Finding),
    /// The suite itself failed, for this reason: nothing is known about the backend.
    Failed(String),
    /// Nothing was tried: the case was filtered out, or the run ended at an earlier finding.
    NotRun,
    /// Nothing was found to be broken.
    Passed,
    /// The case was skipped, for this reason.
    Skipped(String),
    /// The backend or the machine is too slow to judge: less than a tenth of the planned repetitions
    /// fitted into the time of the case. No law was found to be broken, and none was found to hold.
    TooSlow(String),
}

impl Report {
    /// Whether no law was found to be broken and the suite itself did not fail. Cases that were
    /// [too slow](Verdict::TooSlow) to judge do not count.
    #[must_use]
    pub fn passed(&self) -> bool {
        let bad =
            |case: &CaseReport| matches!(case.verdict, Verdict::Broken(_) | Verdict::Failed(_));
        !self.cases.iter().any(bad)
    }

    /// Every broken law that was found.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.cases.iter().filter_map(|case| match &case.verdict {
            Verdict::Broken(finding) => Some(finding),
            _ => None,
        })
    }
}
