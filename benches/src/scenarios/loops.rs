//! The workers of all scenarios in which processes lock again and again.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::clock::{Nanos, now, sleep_until, spin_until};
use crate::contenders::{Contender, Mode, Participant};
use crate::run::{misheard, mode, word};
use crate::worker::{Side, Worker, say};

pub(super) const ROLE: &str = "loop";

/// From the order to the first lock: long enough for all to have heard.
const HEAD_START: Nanos = 5_000_000;

/// What a process does again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    pub(super) mode: Mode,
    /// How long it holds the lock,
    pub(super) section: Nanos,
    /// asleep or at work,
    pub(super) asleep: bool,
    /// and how long it stays away.
    pub(super) pause: Nanos,
    /// When it begins, after the others.
    pub(super) delay: Nanos,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) acquisitions: u64,
    pub(super) longest_wait: Nanos,
}

/// Lets these processes do it for `time`, all at once.
pub(super) fn let_loop(
    workers: &mut [Worker],
    habits: &[Habit],
    time: Nanos,
) -> io::Result<Vec<Outcome>> {
    let start = now() + HEAD_START;
    for (worker, habit) in workers.iter_mut().zip(habits) {
        worker.send(&format!(
            "{} {} {} {} {} {}",
            word(habit.mode),
            habit.section,
            u64::from(habit.asleep),
            habit.pause,
            start + habit.delay,
            start + time,
        ))?;
    }
    let outcome = |worker: &mut Worker| match worker.numbers()?[..] {
        [acquisitions, longest_wait] => Ok(Outcome {
            acquisitions,
            longest_wait,
        }),
        _ => Err(misheard()),
    };
    workers.iter_mut().map(outcome).collect()
}

/// `count` processes of a contender on a new path, all of them ready.
pub(super) fn workers(
    contender: &'static Contender,
    path: &std::path::Path,
    count: usize,
) -> io::Result<Vec<Worker>> {
    let spawn = |_| Worker::spawn(ROLE, contender, path);
    let mut all: Vec<_> = (0..count).map(spawn).collect::<io::Result<_>>()?;
    for worker in &mut all {
        worker.answer()?;
    }
    Ok(all)
}

pub(super) fn play(mut side: Side) -> io::Result<()> {
    let mut participant = side.open()?;
    say("ready")?;
    while let Some(numbers) = side.commands.next_numbers() {
        let [word, section, asleep, pause, start, end] = numbers[..] else {
            return Err(misheard());
        };
        let habit = Habit {
            mode: mode(word),
            section,
            asleep: asleep > 0,
            pause,
            delay: 0,
        };
        let in_task = matches!(participant, Participant::Task(_));
        sleep_until(start);
        let outcome = drive(in_task.then_some(&side.runtime), async {
            let mut acquisitions = 0;
            let mut longest_wait = 0;
            loop {
                let asked = now();
                if asked >= end {
                    break;
                }
                let acquired = once(&mut participant, habit).await?;
                // What came too late does not count, but the wait for it was.
                longest_wait = longest_wait.max(acquired.min(end).saturating_sub(asked));
                acquisitions += u64::from(acquired < end);
                if habit.pause > 0 {
                    stay_away(in_task, habit.pause).await;
                }
            }
            Ok::<_, io::Error>(format!("{acquisitions} {longest_wait}"))
        })?;
        say(outcome)?;
    }
    Ok(())
}

/// Locks, holds and releases; when it was acquired.
async fn once(participant: &mut Participant, habit: Habit) -> io::Result<Nanos> {
    match participant {
        Participant::Task(lock) => {
            let held = lock.lock(habit.mode).await?;
            let acquired = now();
            if habit.asleep {
                stay_away(true, habit.section).await;
            } else {
                spin_until(acquired + habit.section);
            }
            drop(held);
            Ok(acquired)
        }
        Participant::Thread(lock) => {
            let held = lock.lock(habit.mode)?;
            let acquired = now();
            if habit.asleep {
                stay_away(false, habit.section).await;
            } else {
                spin_until(acquired + habit.section);
            }
            drop(held);
            Ok(acquired)
        }
    }
}

async fn stay_away(in_task: bool, time: Nanos) {
    let time = Duration::from_nanos(time);
    if in_task {
        tokio::time::sleep(time).await;
    } else {
        thread::sleep(time);
    }
}

/// Runs it in the runtime; or without one, for what never waits but by blocking.
fn drive<F: Future>(runtime: Option<&Runtime>, future: F) -> F::Output {
    if let Some(runtime) = runtime {
        return runtime.block_on(future);
    }
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => unreachable!("a thread waits by blocking"),
        Poll::Ready(output) => output,
    }
}
