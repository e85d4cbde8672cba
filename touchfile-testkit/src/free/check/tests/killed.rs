//! Tries the checker on races of real processes, some of which are killed.

use std::env;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::flock::FlockBackend;
use touchfile_core::BoxBackend;

use super::super::Violation;
use super::judge;
use crate::free::{History, Plan, Witness, hammer, now_ns};
use crate::handles::runtime;

const WORKER: &str = "free::check::tests::killed::worker";
const PLAN: &str = "TOUCHFILE_TESTKIT_PLAN";
const BACKEND: &str = "TOUCHFILE_TESTKIT_BACKEND";
const PROCESS: &str = "TOUCHFILE_TESTKIT_PROCESS";

/// How long after its start a process is taken to hang.
const OVERDUE: Duration = Duration::from_millis(3_500);

/// The code of a worker, when [`start`] has started this test program. Otherwise it does nothing.
#[test]
fn worker() {
    let Ok(plan) = env::var(PLAN) else { return };
    let plan: Plan = serde_json::from_str(&plan).unwrap();
    let process = env::var(PROCESS).unwrap().parse().unwrap();
    let backend = backend(&env::var(BACKEND).unwrap(), &plan);
    let mut log = File::create(plan.dir.join(format!("{process}.log"))).unwrap();
    runtime()
        .unwrap()
        .block_on(hammer(&backend, &plan, process, &mut log))
        .unwrap();
}

fn backend(name: &str, plan: &Plan) -> BoxBackend {
    #[cfg(feature = "broken")]
    for broken in crate::broken::all() {
        if broken.name == name {
            return (broken.make)(&plan.dir);
        }
    }
    assert_eq!((name, plan.dir.is_absolute()), ("flock", true));
    BoxBackend::new(FlockBackend)
}

fn start(plan: &Plan, backend: &str, process: u32) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([WORKER, "--exact"])
        .env(PLAN, serde_json::to_string(plan).unwrap())
        .env(BACKEND, backend)
        .env(PROCESS, process.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs three processes with this backend and kills two of them, replacing the first.
fn judged(backend: &str, shared: u32, seed: u64) -> (History, Vec<Violation>) {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(dir.path(), seed);
    plan.duration = Duration::from_millis(600);
    plan.shared = shared;
    Witness::prepare(&plan).unwrap();
    let mut history = History::new();
    let mut processes: Vec<Child> = (0..3).map(|n| start(&plan, backend, n)).collect();
    thread::sleep(Duration::from_millis(150 + seed));
    kill(&mut processes[0], 0, &mut history);
    processes.push(start(&plan, backend, 3));
    thread::sleep(Duration::from_millis(100));
    kill(&mut processes[1], 1, &mut history);
    let deadline = Instant::now() + OVERDUE;
    for (number, process) in (0..).zip(&mut processes) {
        while process.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let invoked_ns = now_ns();
                process.kill().unwrap();
                process.wait().unwrap();
                history.overdue(number, invoked_ns, now_ns());
            }
            thread::sleep(Duration::from_millis(1));
        }
        // A process that was killed before it began has no log.
        let log = fs::read_to_string(dir.path().join(format!("{number}.log"))).unwrap_or_default();
        history.add_log(&log).unwrap();
    }
    judge(&plan, history)
}

fn kill(process: &mut Child, number: u32, history: &mut History) {
    let invoked_ns = now_ns();
    process.kill().unwrap();
    process.wait().unwrap();
    history.killed(number, invoked_ns, now_ns());
}

#[test]
fn an_honest_backend_is_not_accused_when_processes_are_killed() {
    for seed in 0..2 {
        let (history, violations) = judged("flock", 40, seed);
        assert!(history.len() > 500, "only {} calls", history.len());
        assert_eq!(violations, [], "seed {seed}");
    }
}

#[cfg(feature = "broken")]
#[test]
fn what_only_processes_show_is_found() {
    for (name, shared) in [("kept-after-kill", 0), ("hears-only-itself", 40)] {
        let broken = crate::broken::all();
        let broken = broken.iter().find(|broken| broken.name == name).unwrap();
        // A process may be killed while it holds nothing.
        let violations = (0..20)
            .map(|seed| judged(name, shared, seed).1)
            .find(|violations| !violations.is_empty());
        for violation in violations.expect(name) {
            assert_eq!(violation.law, broken.law, "{name}: {violation}");
        }
    }
}
