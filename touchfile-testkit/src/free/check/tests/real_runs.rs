//! The checker on real runs: it accuses no honest backend, and finds what is wrong with others.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::LockBackend;
use touchfile_flock::FlockBackend;
use touchfile_mock::World;

use super::super::{Violation, check};
use crate::free::{History, Plan, Witness, hammer, now_ns};

/// What a process that hangs for so long after the end of the plan does not do any more.
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

/// Runs the hammer in each of these processes, which are threads, and judges what they did.
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
    if plan.witness {
        history.witnesses(Witness::finals(plan).unwrap());
    }
    let violations = check(&history);
    (history, violations)
}

fn start<B: LockBackend>(plan: &Plan, process: u32, backend: B) -> (Log, Receiver<()>) {
    let plan = plan.clone();
    let log = Log::default();
    let mut writer = log.clone();
    let (done, receiver) = channel();
    thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
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
    let (history, violations) = judged(&plan, vec![FlockBackend::new(); 3]);
    assert!(history.len() > 500, "only {} calls", history.len());
    assert_eq!(violations, []);

    plan.witness = false;
    let world = World::new();
    let processes = ["a", "b", "c"].map(|name| world.process(name));
    let (history, violations) = judged(&plan, processes.into());
    assert!(history.len() > 500, "only {} calls", history.len());
    assert_eq!(violations, []);
}

#[cfg(feature = "broken")]
mod broken {
    use super::*;
    use crate::broken::{Broken, all};

    /// What a few runs say about a broken backend.
    fn judge(broken: Broken) -> Vec<Violation> {
        let mut violations = Vec::new();
        for seed in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let mut plan = Plan::new(dir.path(), seed);
            plan.duration = Duration::from_millis(700);
            let processes = (0..3).map(|_| (broken.make)(dir.path()));
            let sample = (broken.make)(dir.path());
            if !sample.capabilities().shared {
                plan.shared = 0;
            }
            let (history, found) = judged(&plan, processes.collect());
            println!("{} seed {seed}: {} calls", broken.name, history.len());
            for violation in &found {
                println!("{violation}");
            }
            if !found.is_empty() {
                violations.extend(found);
                break;
            }
        }
        violations
    }

    #[test]
    #[ignore]
    fn survey() {
        for broken in all() {
            let laws: std::collections::BTreeSet<_> = judge(broken).iter().map(|v| v.law).collect();
            println!("SURVEY {} expects {}: {laws:?}", broken.name, broken.law);
        }
    }
}
