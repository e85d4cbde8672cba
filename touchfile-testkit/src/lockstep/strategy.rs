//! Random schedules.
//!
//! A fault shows only if certain steps occur together, such as two readers of one process, one of which
//! unlocks while the other holds the lock. If every schedule had steps of all kinds, each combination
//! would be rare. So each schedule has a [`Scope`], which leaves most kinds out (Groce and others,
//! "Swarm testing", 2012). Steps that need a handle in use mostly get one.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::Union;
use touchfile_core::{Capabilities, LockMode};

use super::step::{FILES, Step};

/// The number of steps of the longest schedule.
const STEPS: usize = 24;

/// What schedules are about. All lock and unlock, and each theme adds other steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Theme {
    Files,
    Locks,
    Processes,
}

/// Schedules of this theme. They use only what the backend claims.
pub(crate) fn schedules(
    theme: Theme,
    claims: Capabilities,
    processes: u8,
    real_processes: bool,
) -> impl Strategy<Value = Vec<Step>> {
    let kinds = kinds(theme, claims, real_processes)
        .into_iter()
        .map(|(weight, kind)| (weight, Just(kind)));
    let rough = (Union::new_weighted(kinds.collect()), any::<u16>(), 0..10_u8);
    (scope(processes), vec(rough, 1..=STEPS)).prop_map(|(scope, rough)| scope.steps(&rough))
}

/// A step as it is generated: its kind, a number that chooses the process and handle, and a number that
/// chooses the mode.
type Rough = (Kind, u16, u8);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    TryLock,
    StartWaiting,
    Poll,
    Unlock,
    Cancel,
    Drop,
    AskCurrent,
    Stop,
    Continue,
    Kill,
    Fork,
    Spawn,
    ForkAndDrop,
    Unlink,
    Replace,
    HardLink,
}

fn kinds(theme: Theme, claims: Capabilities, real_processes: bool) -> Vec<(u32, Kind)> {
    let mut kinds = vec![
        (10, Kind::TryLock),
        (6, Kind::StartWaiting),
        (5, Kind::Poll),
        (5, Kind::Unlock),
        (3, Kind::Cancel),
        (3, Kind::Drop),
    ];
    match theme {
        Theme::Files => kinds.extend([(2, Kind::Unlink), (2, Kind::Replace), (2, Kind::HardLink)]),
        Theme::Locks => {}
        Theme::Processes => {
            // Windows has no signal that stops a process.
            if claims.cross_process && (cfg!(unix) || !real_processes) {
                kinds.extend([(1, Kind::Stop), (2, Kind::Continue)]);
            }
            if claims.crash_release {
                kinds.push((3, Kind::Kill));
            }
            if claims.fork_safe && real_processes {
                kinds.extend([(1, Kind::Fork), (1, Kind::Spawn), (3, Kind::ForkAndDrop)]);
            }
        }
    }
    if claims.identity {
        kinds.push((if theme == Theme::Files { 6 } else { 1 }, Kind::AskCurrent));
    }
    kinds
}

/// What one schedule is limited to.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// How many processes are used.
    processes: u8,
    /// Which handles of each process are used. Handle 2 is on the other file.
    handles: &'static [u8],
    /// How many of ten locks are shared.
    shared: u8,
    /// Whether there are waits.
    waits: bool,
}

fn scope(processes: u8) -> impl Strategy<Value = Scope> {
    let handles = prop_oneof![
        2 => Just(&[0, 1][..]),
        1 => Just(&[0, 0, 2][..]),
        3 => Just(&[0, 0, 0, 1, 1, 2][..]),
    ];
    let shared = prop_oneof![2 => Just(4), 1 => Just(0), 1 => Just(8)];
    let waits = prop_oneof![2 => Just(true), 1 => Just(false)];
    (1..=processes, handles, shared, waits).prop_map(|(processes, handles, shared, waits)| Scope {
        processes,
        handles,
        shared,
        waits,
    })
}

impl Scope {
    fn steps(self, rough: &[Rough]) -> Vec<Step> {
        let mut used = Vec::new();
        let step = |&rough: &Rough| self.step(rough, &mut used);
        rough.iter().map(step).collect()
    }

    fn step(self, (kind, number, mode): Rough, used: &mut Vec<(u8, u8)>) -> Step {
        let kind = match kind {
            Kind::StartWaiting if !self.waits => Kind::TryLock,
            Kind::Poll | Kind::Cancel if !self.waits => Kind::Unlock,
            kind => kind,
        };
        let mode = if mode < self.shared {
            LockMode::Shared
        } else {
            LockMode::Exclusive
        };
        let file = one_of(&[0, 1], number) % FILES;
        let process = one_of(&[0, 1, 2, 3, 4, 5, 6, 7], number) % self.processes;
        let (process, handle) = match kind {
            Kind::TryLock | Kind::StartWaiting => {
                let chosen = self.any_handle(number);
                if !used.contains(&chosen) {
                    used.push(chosen);
                }
                chosen
            }
            Kind::Poll
            | Kind::Unlock
            | Kind::Cancel
            | Kind::Drop
            | Kind::AskCurrent
            | Kind::ForkAndDrop => self.used_handle(number, used),
            _ => (process, 0),
        };
        match kind {
            Kind::TryLock => Step::TryLock {
                process,
                handle,
                mode,
            },
            Kind::StartWaiting => Step::StartWaiting {
                process,
                handle,
                mode,
            },
            Kind::Poll => Step::Poll { process, handle },
            Kind::Unlock => Step::Unlock { process, handle },
            Kind::Cancel => Step::Cancel { process, handle },
            Kind::Drop => Step::Drop { process, handle },
            Kind::AskCurrent => Step::AskCurrent { process, handle },
            Kind::Stop => Step::Stop { process },
            Kind::Continue => Step::Continue { process },
            Kind::Kill => Step::Kill { process },
            Kind::Fork => Step::Fork { process },
            Kind::Spawn => Step::Spawn { process },
            Kind::ForkAndDrop => Step::ForkAndDrop { process, handle },
            Kind::Unlink => Step::Unlink { file },
            Kind::Replace => Step::Replace { file },
            Kind::HardLink => Step::HardLink { file },
        }
    }

    fn any_handle(self, number: u16) -> (u8, u8) {
        let all: Vec<_> = (0..self.processes)
            .flat_map(|process| self.handles.iter().map(move |handle| (process, *handle)))
            .collect();
        one_of(&all, number)
    }

    /// A handle that was used before, in nine of ten cases.
    fn used_handle(self, number: u16, used: &[(u8, u8)]) -> (u8, u8) {
        if used.is_empty() || number % 10 == 9 {
            return self.any_handle(number / 10);
        }
        one_of(used, number / 10)
    }
}

/// Chooses by a number. Shrinking makes numbers smaller, and small numbers choose the first choices.
fn one_of<T: Copy>(choices: &[T], number: u16) -> T {
    choices[usize::from(number) % choices.len()]
}
