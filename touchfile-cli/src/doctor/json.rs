//! The report as JSON.

use std::borrow::Cow;

use serde::Serialize;

use super::advice;
use super::report::{Report, guarantee, kind, queue};
use super::trial::{Outcome, Tried};
use crate::output;

impl Report {
    pub(super) fn to_json(&self) -> String {
        let (status, verdict) = self.conclusion();
        let facts = self.facts.as_ref();
        let advice = self.advice.as_ref();
        output::json(&Json {
            backend: advice.map(|advice| advice::name(advice.backend)),
            export: facts
                .and_then(|facts| facts.export.as_ref())
                .map(|export| JsonExport {
                    active: export.active,
                    directory: export.directory.to_string_lossy(),
                    list: export.list.to_string_lossy(),
                }),
            file_system: facts.map(|facts| facts.file_system.name()),
            guarantee: advice.map(|advice| guarantee(advice.guarantee)),
            kind: facts.map(|facts| kind(facts.file_system.kind())),
            mount: facts
                .and_then(|facts| facts.mount.as_ref())
                .map(|mount| JsonMount {
                    options: mount.all_options(),
                    point: mount.point().to_string_lossy(),
                    type_: mount.file_system(),
                }),
            notes: self.warnings(),
            path: self.path.to_string_lossy(),
            queue: facts.map(|facts| queue(&facts.queue)),
            status,
            tried: self.tried.iter().map(JsonTried::from).collect(),
            verdict,
            why: advice.map(|advice| advice.why.as_str()),
        })
    }
}

/// The whole object. The fields are in the order in which they are printed.
#[derive(Debug, Serialize)]
struct Json<'a> {
    backend: Option<&'a str>,
    export: Option<JsonExport<'a>>,
    file_system: Option<Cow<'a, str>>,
    guarantee: Option<&'a str>,
    kind: Option<&'a str>,
    mount: Option<JsonMount<'a>>,
    notes: Vec<String>,
    path: Cow<'a, str>,
    queue: Option<&'a str>,
    status: u8,
    tried: Vec<JsonTried<'a>>,
    verdict: String,
    why: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct JsonExport<'a> {
    active: bool,
    directory: Cow<'a, str>,
    list: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
struct JsonMount<'a> {
    options: String,
    point: Cow<'a, str>,
    #[serde(rename = "type")]
    type_: &'a str,
}

#[derive(Debug, Serialize)]
struct JsonTried<'a> {
    backend: &'a str,
    detail: Option<&'a str>,
    law: &'a str,
    outcome: &'a str,
}

impl<'a> From<&'a Tried> for JsonTried<'a> {
    fn from(tried: &'a Tried) -> Self {
        let (outcome, detail) = match &tried.outcome {
            Outcome::Holds => ("holds", None),
            Outcome::Broken(how) => ("broken", Some(how)),
            Outcome::NotTried(why) => ("not tried", Some(why)),
        };
        Self {
            backend: advice::name(tried.backend),
            detail: detail.map(String::as_str),
            law: tried.law.name(),
            outcome,
        }
    }
}
