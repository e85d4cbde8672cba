//! Tries the checker on real races: it must not accuse honest backends, and must find broken ones.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::flock::FlockBackend;
use touchfile_core::LockBackend;
use touchfile_mock::World;

use super::super::Violation;
use super::judge;
use crate::free::{History, Plan, Witness, hammer, now_ns};
use crate::handles::runtime;

/// How long after the end of the plan a process is taken to hang.
const OVERDUE: Duration = Duration::from_millis(2_500);

/// A log that can be read while its writer hangs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the plan with each of these backends in a thread of its own, and judges the history.
fn judged<B: LockBackend>(plan: &Plan, processes: Vec<B>) -> (History, Vec<Violation>) {
    if plan.witness {
        Witness::prepare(plan).unwrap();
    }
    let started: Vec<(Log, Receiver<()>)> = (0..)
        .zip(processes)
        .map(|(process, backend)| start(plan, process, backend))
        .collect();
    let deadline = Instant::now() + plan.duration + OVERDUE;
    let mut history = History::new();
    for (process, (log, done)) in (0..).zip(started) {
        let left = deadline.saturating_duration_since(Instant::now());
        if done.recv_timeout(left).is_err() {
            history.overdue(process, now_ns(), now_ns());
        }
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        history.add_log(&log).unwrap();
    }
    judge(plan, history)
}

fn start<B: LockBackend>(plan: &Plan, process: u32, backend: B) -> (Log, Receiver<()>) {
    let plan = plan.clone();
    let log = Log::default();
    let mut writer = log.clone();
    let (done, receiver) = channel();
    thread::spawn(move || {
        runtime()
            .unwrap()
            .block_on(hammer(&backend, &plan, process, &mut writer))
            .unwrap();
        done.send(())
    });
    (log, receiver)
}

#[test]
fn honest_backends_are_not_accused() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(dir.path(), 1);
    plan.duration = Duration::from_millis(500);
    let (history, violations) = judged(&plan, vec![FlockBackend; 3]);
    assert!(history.len() > 500, "only {} calls", history.len());
    assert_eq!(violations, []);

    plan.witness = false;
    let world = World::new();
    let processes = ["a", "b", "c"].map(|name| world.process(name));
    let (history, violations) = judged(&plan, processes.into());
    assert!(history.len() > 500, "only {} calls", history.len());
    assert_eq!(violations, []);
}

/// The broken backends whose fault shows in races of threads, without children and kills.
#[cfg(feature = "broken")]
const SHOWN_BY_REAL_RUNS: [&str; 11] = [
    "blocks-its-thread",
    "contention-is-an-error",
    "double-grant",
    "drop-keeps",
    "exclusive-is-shared",
    "lost-wake-up",
    "no-op",
    "shared-is-exclusive",
    "spurious-busy",
    "takes-it-later",
    "unlock-keeps",
];

#[cfg(feature = "broken")]
#[test]
fn broken_backends_are_accused_of_what_they_do() {
    use crate::Law;
    use crate::broken::all;

    let judges: Vec<_> = all()
        .into_iter()
        .filter(|broken| SHOWN_BY_REAL_RUNS.contains(&broken.name))
        .map(|broken| (broken, thread::spawn(move || judge_until_found(broken))))
        .collect();
    assert_eq!(judges.len(), SHOWN_BY_REAL_RUNS.len());
    for (broken, judge) in judges {
        let violations = judge.join().unwrap();
        assert!(!violations.is_empty(), "nothing found: {broken:?}");
        for violation in violations {
            // A short race may not have enough calls to find out why a free lock is busy.
            let vague =
                broken.law == Law::AcquiredMeansAcquired && violation.law == Law::NoFalseBusy;
            let named = vague || violation.law == broken.law;
            assert!(named, "{}: {violation}", broken.name);
        }
    }
}

/// Runs races with a broken backend until there is a violation.
#[cfg(feature = "broken")]
fn judge_until_found(broken: crate::broken::Broken) -> Vec<Violation> {
    let runs = (0..30).map(|seed| {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = Plan::new(dir.path(), seed);
        plan.duration = Duration::from_millis(400);
        let processes = (0..3).map(|_| (broken.make)(dir.path()));
        judged(&plan, processes.collect()).1
    });
    runs.into_iter()
        .find(|violations| !violations.is_empty())
        .unwrap_or_default()
}
