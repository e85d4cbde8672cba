//! Every case of the suite, in order.

use crate::case::{Case, Context, Done, Finding, Need, Outcome, Undone};
use crate::free::{Who, race};
use crate::lockstep::{self, Patience, Plan, Shown, Step, Theme};

/// The cases. Those that take longest come first.
pub(super) fn cases(seeds: Option<std::path::PathBuf>, replays: &[Vec<Step>]) -> Vec<Case> {
    let theme = |name: &str, needs, theme| {
        let seeds = seeds
            .as_ref()
            .map(|dir| dir.join(format!("{theme:?}.txt").to_lowercase()));
        case(name, needs, move |bench| {
            schedules(bench, theme, seeds.clone())
        })
    };
    let mut cases = vec![
        theme("lockstep::random_schedules_of_locking", &[], Theme::Locks),
        theme(
            "lockstep::random_schedules_with_processes_that_stop_fork_and_die",
            &[Need::CrossProcess],
            Theme::Processes,
        ),
        theme(
            "lockstep::random_schedules_with_files_that_are_replaced",
            &[Need::Identity],
            Theme::Files,
        ),
    ];
    cases.extend([
        case("free::processes_race", &[Need::CrossProcess], |bench| {
            race(bench, Who::Several)
        }),
        case(
            "free::processes_race_and_some_are_killed",
            &[Need::CrossProcess, Need::CrashRelease, Need::RealProcesses],
            |bench| race(bench, Who::WithKills),
        ),
        case("free::the_tasks_of_one_process_race", &[], |bench| {
            race(bench, Who::Alone)
        }),
    ]);
    for (number, steps) in replays.iter().enumerate() {
        let steps = steps.clone();
        let name = format!("lockstep::replay_{}", number + 1);
        cases.push(case(&name, &[], move |bench| replay(bench, &steps)));
    }
    cases.extend(crate::directed::cases());
    cases
}

fn case(
    name: &str,
    needs: &'static [Need],
    run: impl Fn(&Context<'_>) -> Outcome + Send + Sync + 'static,
) -> Case {
    Case {
        name: name.to_owned(),
        law: None,
        needs,
        run: Box::new(run),
    }
}

fn schedules(bench: &Context<'_>, theme: Theme, seeds: Option<std::path::PathBuf>) -> Outcome {
    let cases = bench.cases;
    let plan = Plan {
        theme,
        claims: bench.claims,
        processes: if bench.claims.cross_process {
            bench.processes
        } else {
            1
        },
        cases,
        seed: bench.seed,
        patience: patience(bench),
        shrink: bench.shrink,
        seeds,
        progress: &|done| (bench.progress)(done, u64::from(cases)),
    };
    let (tried, shown) = lockstep::explore(bench.host, &plan)?;
    verdict(tried, shown)
}

fn replay(bench: &Context<'_>, steps: &[Step]) -> Outcome {
    verdict(
        1,
        lockstep::replay(bench.host, bench.claims, steps, patience(bench))?,
    )
}

fn patience(bench: &Context<'_>) -> Patience {
    Patience {
        answer: bench.patience * 2,
        grant: bench.patience,
        looks: false,
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
