//! What waiting costs while nothing happens.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::clock::{now, processor_time};
use crate::contenders::{Contender, Mode, Participant};
use crate::proc::Belongings;
use crate::report::{Table, column};
use crate::run::{Run, misheard};
use crate::worker::{Side, Worker, say};

pub(super) const NAME: &str = "idle";
pub(super) const ROLE: &str = "idle";

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let (tasks, processes) = run.effort.pick((100, 64), (100, 64), (5, 2));
    let (time_ms, settle_ms) = run.effort.pick((4_000, 500), (150, 40), (20, 5));
    let crowds = [
        Crowd {
            processes: 1,
            tasks,
            paths: 1,
        },
        Crowd {
            processes: 1,
            tasks,
            paths: tasks,
        },
        Crowd {
            processes,
            tasks: 1,
            paths: 1,
        },
    ];
    let (contenders, unable) = run.unlike();
    run.begin(NAME, contenders.len());
    let (time, settle) = (
        Duration::from_millis(time_ms),
        Duration::from_millis(settle_ms),
    );
    let mut lines = Vec::new();
    for contender in contenders {
        let mut values = Vec::new();
        for crowd in crowds {
            values.extend(wait_idly(run, contender, crowd, time, settle)?);
        }
        lines.push((contender.name, values));
        run.step();
    }
    run.end();
    run.report.tables.push(Table {
        scenario: NAME,
        variant: String::new(),
        caption: format!(
            "{tasks} tasks (or threads) of one process wait for one lock, then each for a lock of \
             its own, then {processes} processes of one task each for one lock, and nothing happens \
             for {time_ms} ms: processor time, user and system, of one core, and the threads and \
             descriptors that they have because they wait."
        ),
        columns: vec![
            column("tasks: CPU", "%"),
            column("threads", ""),
            column("descriptors", ""),
            column("tasks, own paths: CPU", "%"),
            column("own paths: threads", ""),
            column("own paths: descriptors", ""),
            column("processes: CPU", "%"),
            column("processes: threads", ""),
            column("processes: descriptors", ""),
        ],
        lines,
        unable,
    });
    Ok(())
}

/// Who waits.
#[derive(Clone, Copy)]
struct Crowd {
    processes: u64,
    /// In each process.
    tasks: u64,
    /// One for all, or one for each task.
    paths: u64,
}

fn wait_idly(
    run: &mut Run,
    contender: &'static Contender,
    crowd: Crowd,
    time: Duration,
    settle: Duration,
) -> io::Result<Vec<f64>> {
    let path = run.new_path();
    let open = |number| (contender.raw_of_its_family().open)(&numbered(&path, number));
    let holders: Vec<_> = (0..crowd.paths).map(open).collect::<io::Result<_>>()?;
    while_held(holders, || {
        let spawn = |_| Worker::spawn(ROLE, contender, &path);
        let mut all: Vec<_> = (0..crowd.processes).map(spawn).collect::<io::Result<_>>()?;
        for worker in &mut all {
            worker.tell(&format!("{} {}", crowd.tasks, crowd.paths))?;
        }
        for worker in &mut all {
            worker.answer()?;
        }
        thread::sleep(settle);

        let started = now();
        let mut used = 0;
        for worker in &mut all {
            worker.ask("begin")?;
        }
        thread::sleep(time);
        for worker in &mut all {
            worker.tell("end")?;
        }
        let (mut threads, mut descriptors) = (0, 0);
        for worker in &mut all {
            let [processor_time, its_threads, its_descriptors] = worker.numbers()?[..] else {
                return Err(misheard());
            };
            used += processor_time;
            threads += its_threads;
            descriptors += its_descriptors;
        }
        let elapsed = now() - started;
        let share = 100.0 * used as f64 / elapsed as f64;
        Ok(vec![share, threads as f64, descriptors as f64])
    })
}

/// Does something while all of these hold their locks.
fn while_held<T>(
    mut holders: Vec<Participant>,
    critical: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let mut held = Vec::new();
    for holder in &mut holders {
        let Participant::Thread(lock) = holder else {
            unreachable!("the system calls block");
        };
        held.push(lock.lock(Mode::Exclusive)?);
    }
    critical()
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    path.with_extension(number.to_string())
}

pub(super) fn play(mut side: Side) -> io::Result<()> {
    let numbers = side.commands.hear_numbers().ok_or_else(misheard)?;
    let [tasks, paths] = numbers[..] else {
        return Err(misheard());
    };
    // The runtime has this thread, so another one hears.
    let (tell, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let mut commands = side.commands;
    thread::spawn(move || {
        while let Some(order) = commands.hear() {
            // Here, because to hear and to answer costs as much as some wait for seconds.
            if tell.send((order, processor_time())).is_err() {
                break;
            }
        }
        // Nobody is to be waited for.
        std::process::exit(0);
    });
    let before = Belongings::now()?;
    let open = |number| (side.contender.open)(&numbered(&side.path, number));
    let first = open(0)?;
    for number in 1..tasks {
        let shared = if paths == 1 { first.share() } else { None };
        let participant = shared.map_or_else(|| open(number % paths), Ok)?;
        wait_for_ever(&side.runtime, participant);
    }
    wait_for_ever(&side.runtime, first);

    side.runtime.block_on(async move {
        // Those who wait have been polled once before this goes on.
        tokio::task::yield_now().await;
        say("waiting")?;
        let mut begun = 0;
        while let Some((order, heard)) = hear.recv().await {
            match &*order {
                "begin" => {
                    say("begun")?;
                    begun = processor_time();
                }
                "end" => {
                    let used = heard.saturating_sub(begun);
                    let all = Belongings::now()?;
                    let threads = all.threads - before.threads;
                    let descriptors = all.descriptors - before.descriptors;
                    say(format!("{used} {threads} {descriptors}"))?;
                }
                _ => return Err(misheard()),
            }
        }
        Ok(())
    })
}

/// In a task, or in a thread of its own.
fn wait_for_ever(runtime: &Runtime, participant: Participant) {
    match participant {
        Participant::Task(mut lock) => {
            runtime.spawn(async move {
                let held = lock.lock(Mode::Exclusive).await;
                std::future::pending::<()>().await;
                drop(held);
            });
        }
        Participant::Thread(mut lock) => {
            thread::spawn(move || {
                let held = lock.lock(Mode::Exclusive);
                loop {
                    thread::park();
                    std::hint::black_box(&held);
                }
            });
        }
    }
}
