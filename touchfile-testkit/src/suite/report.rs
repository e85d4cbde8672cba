//! What a run of the suite came to.

use std::time::Duration;

use crate::{Finding, Law};

/// What a whole run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The name of the suite.
    pub suite: String,
    /// The name that the backend gives itself.
    pub backend: String,
    /// The seed that all dice came from.
    pub seed: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Every case, in the order of the suite.
    pub cases: Vec<CaseReport>,
}

/// What one case came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// Its name, such as `exclusion::two_handles_of_one_process_exclude_each_other`.
    pub name: String,
    /// The law it is about; cases that race and play at random are about all.
    pub law: Option<Law>,
    /// How it ended.
    pub verdict: Verdict,
    /// How often something was tried that could have failed.
    pub tried: u64,
    /// What was measured, in words.
    pub measured: Vec<String>,
    /// How long it took.
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
    /// Nothing was tried: the run had been filtered, or ended at an earlier finding.
    NotRun,
    /// The law holds, as far as was tried.
    Passed,
    /// Left out, for this reason.
    Skipped(String),
}

impl Report {
    /// Whether no law is known to be broken and the suite itself did not fail.
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
