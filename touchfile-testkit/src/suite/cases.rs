//! Every case of the suite, in order.

use crate::case::{Case, Context, Done, Finding, Outcome, Undone};
use crate::free::{Who, race};
use crate::lockstep::{self, Plan, Shown, Step, Theme, TimeLimits};

/// The cases. Those that take longest come first.
pub(super) fn cases(replays: &[Vec<Step>]) -> Vec<Case> {
    let mut cases = cases_of_all_laws! {
        lockstep::random_schedules_of_locking,
        lockstep::random_schedules_with_processes_that_stop_fork_and_die [CrossProcess],
        lockstep::random_schedules_with_files_that_are_replaced [Identity],
        free::processes_race [CrossProcess],
        free::processes_race_and_some_are_killed [CrossProcess, CrashRelease, RealProcesses],
        free::the_tasks_of_one_process_race,
    };
    for (number, steps) in replays.iter().enumerate() {
        let steps = steps.clone();
        cases.push(Case {
            name: format!("lockstep::replay_{}", number + 1),
            law: None,
            needs: &[],
            run: Box::new(move |context| replay(context, &steps)),
        });
    }
    cases.extend(crate::directed::cases());
    cases
}

fn random_schedules_of_locking(context: &Context<'_>) -> Outcome {
    schedules(context, Theme::Locks)
}

fn random_schedules_with_processes_that_stop_fork_and_die(context: &Context<'_>) -> Outcome {
    schedules(context, Theme::Processes)
}

fn random_schedules_with_files_that_are_replaced(context: &Context<'_>) -> Outcome {
    schedules(context, Theme::Files)
}

fn processes_race(context: &Context<'_>) -> Outcome {
    race(context, Who::Several)
}

fn processes_race_and_some_are_killed(context: &Context<'_>) -> Outcome {
    race(context, Who::WithKills)
}

fn the_tasks_of_one_process_race(context: &Context<'_>) -> Outcome {
    race(context, Who::Alone)
}

fn schedules(context: &Context<'_>, theme: Theme) -> Outcome {
    let cases = context.cases;
    let file_name = format!("{theme:?}.txt").to_lowercase();
    let plan = Plan {
        theme,
        claims: context.claims,
        processes: if context.claims.cross_process {
            context.processes
        } else {
            1
        },
        cases,
        seed: context.seed,
        limits: limits(context),
        shrink: context.shrink,
        seeds: context.seeds.map(|dir| dir.join(file_name)),
        progress: &|done| (context.progress)(done, u64::from(cases)),
    };
    let (tried, shown) = lockstep::explore(context.host, &plan)?;
    verdict(tried, shown)
}

fn replay(context: &Context<'_>, steps: &[Step]) -> Outcome {
    verdict(
        1,
        lockstep::replay(context.host, context.claims, steps, limits(context))?,
    )
}

fn limits(context: &Context<'_>) -> TimeLimits {
    TimeLimits {
        answer: context.patience * 2,
        grant: context.patience,
        long_polls: false,
    }
}

fn verdict(tried: u64, shown: Option<Shown>) -> Outcome {
    match shown {
        None => Ok(Done {
            tried,
            measured: Vec::new(),
        }),
        Some(Shown { law, trace, steps }) => {
            let finding = Finding {
                law,
                case: String::new(),
                trace,
                steps,
            };
            Err(Undone::Broken(Box::new(finding), tried))
        }
    }
}
