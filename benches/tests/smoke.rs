//! Each scenario, at its smallest, runs and yields rows. Nothing is timed.

#![expect(clippy::unwrap_used, reason = "it is a test")]

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::tempdir;

fn rows_of(scenario: &str) -> Vec<Value> {
    let dir = tempdir().unwrap();
    let json = dir.path().join("rows.json");
    let run = Command::new(env!("CARGO_BIN_EXE_touchfile-bench"))
        .args(["--smoke", "--only", scenario, "--json"])
        .arg(&json)
        .arg("--markdown")
        .arg(dir.path().join("tables.md"))
        .arg("--svg")
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{scenario}: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(dir.path().join("tables.md").exists());
    let plots = fs::read_dir(dir.path()).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension().is_some_and(|extension| extension == "svg")
    });
    let drawn = matches!(scenario, "handoff" | "fairness" | "crash");
    assert_eq!(plots.count() > 0, drawn, "{scenario}");
    serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap()
}

/// Every contender is there, with numbers or with the reason why not.
fn yields_rows(scenario: &str) {
    let rows = rows_of(scenario);
    for row in &rows {
        assert_eq!(row["scenario"], scenario);
        for key in ["contender", "metric", "unit"] {
            assert!(row[key].is_string(), "{row}");
        }
        let unable = row["metric"].as_str().unwrap().ends_with("unable");
        let named = row["value"].is_number() || row["value"].is_null();
        assert!(named && (!unable || row["value"].is_null()), "{row}");
    }
    let contenders = [
        "raw flock(2)",
        "raw OFD fcntl(2)",
        "std::fs::File",
        "fs4",
        "fd-lock",
        "filelock",
        "filelock, async",
        "named-lock",
        "async-fd-lock",
        "10 ms poll",
        "touchfile flock, async",
        "touchfile flock, blocking",
        "touchfile fcntl, async",
        "touchfile fcntl, blocking",
    ];
    for contender in contenders {
        assert!(
            rows.iter().any(|row| row["contender"] == contender),
            "{scenario} says nothing about {contender}"
        );
    }
    let floor = rows
        .iter()
        .find(|row| row["contender"] == "raw flock(2)")
        .unwrap();
    let unable = floor["metric"].as_str().unwrap().ends_with("unable");
    assert_eq!(unable, scenario == "cancel", "{floor}");
}

macro_rules! scenarios {
    ($($test:ident: $name:literal)*) => {$(
        #[test]
        fn $test() {
            yields_rows($name);
        }
    )*};
}

scenarios! {
    uncontended_yields_rows: "uncontended"
    handoff_yields_rows: "handoff"
    fairness_yields_rows: "fairness"
    writer_starvation_yields_rows: "writer-starvation"
    fan_in_yields_rows: "fan-in"
    many_paths_yields_rows: "many-paths"
    readers_yields_rows: "readers"
    idle_yields_rows: "idle"
    crash_yields_rows: "crash"
    cancel_yields_rows: "cancel"
}

#[test]
fn an_unknown_scenario_is_refused() {
    let run = Command::new(env!("CARGO_BIN_EXE_touchfile-bench"))
        .args(["--only", "nonsense"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("writer-starvation"));
}

#[test]
fn a_file_that_cannot_be_written_is_reported_before_anything_is_measured() {
    let run = Command::new(env!("CARGO_BIN_EXE_touchfile-bench"))
        .args(["--json", "/nowhere/rows.json"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stdout.is_empty());
    assert!(String::from_utf8_lossy(&run.stderr).contains("/nowhere/rows.json"));
}
