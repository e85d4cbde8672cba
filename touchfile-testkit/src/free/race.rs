//! The cases in which processes race, some are killed, and the history is judged.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{History, Plan, Violation, Witness, check, now_ns};
use crate::Law;
use crate::case::{Context, Done, Finding, Outcome, Undone, enough};
use crate::fixture::{Fixture, Host};
use crate::process::{Answer, Command, Lost};

/// How long one race takes. Short histories are judged quickly.
const RUN: Duration = Duration::from_millis(400);

/// How many calls are made in one race at least if nothing is slow.
const CALLS: u64 = 300;

/// Who races.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// The tasks of one process.
    Alone,
    /// Several processes, some of which are killed on the way.
    WithKills,
    /// Several processes.
    Several,
}

/// Runs several races.
pub(crate) fn race(context: &Context<'_>, who: Who) -> Outcome {
    let runs = context.times(4);
    let (mut calls, mut done) = (0, 0);
    for run in 0..runs {
        if !(context.progress)(run, runs) {
            break;
        }
        done += 1;
        let seed = context.seed.wrapping_mul(1_000).wrapping_add(run);
        let history = run_once(context, who, seed)?;
        calls += history.len() as u64;
        let violations = check(&history);
        if let Some(first) = violations.first() {
            return Err(Undone::Broken(Box::new(finding(first, &violations)), calls));
        }
    }
    Ok(Done {
        tried: enough(calls, done * CALLS)?,
        measured: Vec::new(),
    })
}

fn run_once(context: &Context<'_>, who: Who, seed: u64) -> Result<History, Undone> {
    let real = matches!(context.host, Host::Processes { .. });
    let mut fixture = context.host.fixture()?;
    let mut plan = Plan::new(fixture.path(""), seed);
    plan.duration = RUN;
    plan.witness = real;
    if !context.claims.shared {
        plan.shared = 0;
    }
    let mut processes = usize::from(context.processes.max(2));
    if who == Who::Alone {
        (processes, plan.tasks) = (1, 6);
    }
    if plan.witness {
        Witness::prepare(&plan)?;
    }
    // The logs are not beside the lock files, which may be on a slow network file system.
    let logs = tempfile::tempdir()?;
    let mut run = Run {
        fixture,
        plan,
        logs,
        history: History::new(),
    };
    run.history.patience(context.patience);
    run.history.death_grace(context.death_grace);
    for process in 0..processes {
        run.start(process)?;
    }
    let end = Instant::now() + RUN;
    let mut running: Vec<usize> = (0..processes).collect();
    if who == Who::WithKills {
        // Each race kills at other moments. A new process replaces the first one.
        thread::sleep(RUN / 4 + Duration::from_millis(seed % 40));
        run.kill(0)?;
        running.retain(|&process| process != 0);
        run.plan.duration = end.saturating_duration_since(Instant::now());
        run.start(processes)?;
        running.push(processes);
        thread::sleep(RUN / 4 + Duration::from_millis(seed % 30));
        run.kill(1)?;
        running.retain(|&process| process != 1);
    }
    for process in running {
        run.finish(process, end + context.patience * 2)?;
    }
    if run.plan.witness {
        run.history.witnesses(Witness::finals(&run.plan)?);
    }
    fixture = run.fixture;
    fixture.close();
    Ok(run.history)
}

struct Run<'h> {
    fixture: Fixture<'h>,
    plan: Plan,
    logs: TempDir,
    history: History,
}

impl Run<'_> {
    fn start(&mut self, process: usize) -> Result<(), Undone> {
        let mut plan = self.plan.clone();
        plan.dir = self.fixture.dir_of(process);
        let words = vec![
            serde_json::to_string(&plan).map_err(io::Error::from)?,
            process.to_string(),
        ];
        let command = Command::Run("hammer".into(), self.log(process), words);
        self.fixture.process(process)?.send(&command);
        Ok(())
    }

    fn kill(&mut self, process: usize) -> Result<(), Undone> {
        let invoked = now_ns();
        self.fixture.kill(process);
        self.history.killed(number(process), invoked, now_ns());
        self.read_log(process)
    }

    fn finish(&mut self, process: usize, deadline: Instant) -> Result<(), Undone> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.fixture.process(process)?.receive(left) {
            Ok(Answer::Text(_)) => {}
            Ok(Answer::Failed { message, .. }) => {
                return Err(Undone::Failed(format!("the log: {message}")));
            }
            Ok(answer) => return Err(ended(process, &answer.to_string())),
            Err(Lost::Ended) => return Err(ended(process, "it ended by itself")),
            // The log ends with the call that has not returned.
            Err(Lost::Silent(_)) => {
                let invoked = now_ns();
                self.fixture.kill(process);
                self.history.overdue(number(process), invoked, now_ns());
            }
        }
        self.read_log(process)
    }

    fn read_log(&mut self, process: usize) -> Result<(), Undone> {
        // A process that was killed before it began has no log.
        let log = fs::read_to_string(self.log(process)).unwrap_or_default();
        Ok(self.history.add_log(&log)?)
    }

    fn log(&self, process: usize) -> std::path::PathBuf {
        self.logs.path().join(process.to_string())
    }
}

fn number(process: usize) -> u32 {
    u32::try_from(process).unwrap_or(u32::MAX)
}

/// The finding that a call has ended its process.
fn ended(process: usize, how: &str) -> Undone {
    let finding = Finding {
        law: Law::Errors,
        case: String::new(),
        trace: format!("In a race, a call of process {process} did not come back: {how}.\n"),
        steps: Vec::new(),
    };
    Undone::Broken(Box::new(finding), 1)
}

/// The finding with the first violation and the number of the others.
fn finding(first: &Violation, all: &[Violation]) -> Finding {
    let more = match all.len() - 1 {
        0 => String::new(),
        more => format!("\n… and {more} more violations like it or after it."),
    };
    Finding {
        law: first.law,
        case: String::new(),
        trace: format!("Processes raced, and this cannot have been:\n{first}{more}\n"),
        steps: Vec::new(),
    }
}
