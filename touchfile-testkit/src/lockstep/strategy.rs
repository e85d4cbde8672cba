//! Where schedules come from.

use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, prop_oneof};
use proptest::strategy::Union;
use touchfile_core::{Capabilities, LockMode};

use super::step::{FILES, Step};

/// The longest schedule.
const STEPS: usize = 24;

/// What schedules are about. All of them lock and unlock; each has something more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Theme {
    Files,
    Locks,
    Processes,
}

/// Schedules of this theme, of nothing that the backend does not claim.
pub(crate) fn schedules(
    theme: Theme,
    claims: Capabilities,
    processes: u8,
    real_processes: bool,
) -> impl Strategy<Value = Vec<Step>> {
    let mut kinds = locks(processes);
    match theme {
        Theme::Files => kinds.extend(files()),
        Theme::Locks => {}
        Theme::Processes => kinds.extend(lives(claims, processes, real_processes)),
    }
    if claims.identity {
        let weight = if theme == Theme::Files { 6 } else { 1 };
        let ask =
            handle(processes).prop_map(|(process, handle)| Step::AskCurrent { process, handle });
        kinds.push((weight, ask.boxed()));
    }
    vec(Union::new_weighted(kinds), 1..=STEPS)
}

type Weighted = (u32, BoxedStrategy<Step>);

fn locks(processes: u8) -> Vec<Weighted> {
    let tries = (handle(processes), mode()).prop_map(|((process, handle), mode)| Step::TryLock {
        process,
        handle,
        mode,
    });
    let starts =
        (handle(processes), mode()).prop_map(|((process, handle), mode)| Step::StartWaiting {
            process,
            handle,
            mode,
        });
    let on_handle =
        |weight, step: fn((u8, u8)) -> Step| (weight, handle(processes).prop_map(step).boxed());
    vec![
        (10, tries.boxed()),
        (6, starts.boxed()),
        on_handle(5, |(process, handle)| Step::Poll { process, handle }),
        on_handle(5, |(process, handle)| Step::Unlock { process, handle }),
        on_handle(3, |(process, handle)| Step::Cancel { process, handle }),
        on_handle(3, |(process, handle)| Step::Drop { process, handle }),
    ]
}

fn lives(claims: Capabilities, processes: u8, real_processes: bool) -> Vec<Weighted> {
    let on_process = |weight, step: fn(u8) -> Step| (weight, (0..processes).prop_map(step).boxed());
    let mut kinds = Vec::new();
    if claims.cross_process {
        kinds.push(on_process(1, |process| Step::Stop { process }));
        kinds.push(on_process(2, |process| Step::Continue { process }));
    }
    if claims.crash_release {
        kinds.push(on_process(3, |process| Step::Kill { process }));
    }
    if claims.fork_safe && real_processes {
        kinds.push(on_process(1, |process| Step::Fork { process }));
        kinds.push(on_process(1, |process| Step::Spawn { process }));
        let drops =
            handle(processes).prop_map(|(process, handle)| Step::ForkAndDrop { process, handle });
        kinds.push((3, drops.boxed()));
    }
    kinds
}

fn files() -> Vec<Weighted> {
    let on_file = |weight, step: fn(u8) -> Step| (weight, (0..FILES).prop_map(step).boxed());
    vec![
        on_file(2, |file| Step::Unlink { file }),
        on_file(2, |file| Step::Replace { file }),
        on_file(2, |file| Step::HardLink { file }),
    ]
}

fn handle(processes: u8) -> BoxedStrategy<(u8, u8)> {
    // Mostly the first, so that they meet.
    let number = prop_oneof![5 => Just(0_u8), 3 => Just(1), 2 => Just(2)];
    (0..processes, number).boxed()
}

fn mode() -> BoxedStrategy<LockMode> {
    prop_oneof![3 => Just(LockMode::Exclusive), 2 => Just(LockMode::Shared)].boxed()
}
