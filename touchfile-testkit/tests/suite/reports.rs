//! Skipped cases, reports and observers.

use std::sync::Mutex;

use touchfile_testkit::{CaseReport, Observer, Verdict};

use crate::odd::Odd;
use crate::{check, suite};

pub(crate) fn skips() {
    let name = "release::unlocking_releases";
    let report = check(
        suite(Odd::Not)
            .only("release::unlocking")
            .skip(name, "it rains"),
    );
    let skipped = report.cases.iter().find(|case| case.name == name).unwrap();
    assert!(matches!(&skipped.verdict, Verdict::Skipped(why) if why == "it rains"));
    assert!(report.to_string().contains("it rains"), "{report}");
    assert!(report.passed());
}

pub(crate) fn skips_nothing() {
    let error = suite(Odd::Not)
        .skip("release::of_everything", "no")
        .check(&())
        .unwrap_err();
    assert!(
        error.to_string().contains("release::of_everything"),
        "{error}"
    );
}

pub(crate) fn reports_json() {
    let report = check(
        suite(Odd::LocksNothing)
            .only("exclusion::")
            .only("capabilities::"),
    );
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["suite"], "locks-nothing");
    assert_eq!(json["passed"], false);
    let cases = json["cases"].as_array().unwrap();
    assert_eq!(cases.len(), report.cases.len());
    let broken = cases
        .iter()
        .find(|case| case["verdict"] == "broken")
        .unwrap();
    assert_eq!(broken["broken_law"], "exclusion");
    assert!(
        broken["trace"]
            .as_str()
            .unwrap()
            .contains("This breaks exclusion")
    );
}

pub(crate) fn too_slow() {
    let name = "exclusion::two_threads_that_try_at_the_same_moment_exclude_each_other";
    let part = || suite(Odd::Slow).only(name).only("capabilities::");
    let report = check(part());
    let case = report.cases.iter().find(|case| case.name == name).unwrap();
    let Verdict::TooSlow(why) = &case.verdict else {
        panic!("{report}");
    };
    assert!(why.contains(&format!("{} of ", case.tried)), "{why}");
    // It is neither an accusation nor a law that holds.
    assert!(report.passed(), "{report}");
    assert_eq!(report.findings().count(), 0);
    let text = report.to_string();
    assert!(
        text.contains("unknown: too slow to judge\n") && text.contains(why.as_str()),
        "{text}"
    );
    assert!(text.contains("too slow to judge: 1 of "), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let cases = json["cases"].as_array().unwrap();
    let verdict = cases.iter().find(|case| case["name"] == name).unwrap();
    assert_eq!(verdict["verdict"], "too-slow");
    assert_eq!(verdict["reason"].as_str(), Some(why.as_str()));
    // What is as fast as usual is judged.
    let report = check(suite(Odd::Not).only(name));
    assert!(
        matches!(report.cases[0].verdict, Verdict::Passed),
        "{report}"
    );
}

#[derive(Default)]
struct Recorded(Mutex<Vec<String>>);

impl Observer for Recorded {
    fn planned(&self, cases: &[&str]) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} planned", cases.len()));
    }

    fn finished(&self, case: &CaseReport) {
        self.0.lock().unwrap().push(case.name.clone());
    }
}

pub(crate) fn observes() {
    let recorded = Recorded::default();
    let report = suite(Odd::Not)
        .only("capabilities::")
        .check(&recorded)
        .unwrap();
    let names = recorded.0.into_inner().unwrap();
    assert_eq!(names.len(), report.cases.len() + 1);
    assert_eq!(names[0], format!("{} planned", report.cases.len()));
}

pub(crate) fn gates() {
    let report = check(suite(Odd::ClaimsLittle).cases(10));
    assert!(report.passed(), "{report}");
    let skipped = |name: &str| {
        let case = report.cases.iter().find(|case| case.name == name).unwrap();
        matches!(case.verdict, Verdict::Skipped(_))
    };
    assert!(skipped("exclusion::readers_share_and_keep_a_writer_out"));
    assert!(skipped("exclusion::two_processes_exclude_each_other"));
    assert!(skipped("free::processes_race_and_some_are_killed"));
    assert!(!skipped("capabilities::shared_locks_are_there_or_refused"));
}
