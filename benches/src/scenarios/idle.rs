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
pub(super) const HOLDER: &str = "idle-holder";

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let (tasks, processes) = run.effort.pick((100, 64), (100, 64), (5, 2));
    // Who waits may look around first, and it is not that which is asked for.
    let (settle_ms, time_ms) = run.effort.pick((3_000, 4_000), (800, 200), (5, 20));
    let (settle, time) = (
        Duration::from_millis(settle_ms),
        Duration::from_millis(time_ms),
    );
    let one_lock = Crowd {
        processes: 1,
        tasks,
        paths: 1,
        foreign_holder: false,
    };
    let crowds = [
        one_lock,
        Crowd {
            processes,
            tasks: 1,
            ..one_lock
        },
        Crowd {
            paths: tasks,
            ..one_lock
        },
        Crowd {
            foreign_holder: true,
            ..one_lock
        },
    ];
    let (contenders, unable) = run.unlike();
    run.begin(NAME, contenders.len());
    let mut lines = Vec::new();
    for contender in contenders {
        let [one_lock, processes, own_paths, foreign] =
            wait_idly(run, contender, crowds, settle, time)?;
        let values = [
            vec![one_lock[0] + processes[0]],
            one_lock,
            processes,
            own_paths,
            foreign[..1].to_vec(),
        ];
        lines.push((contender.name, values.concat()));
        run.step();
    }
    run.end();
    run.report.tables.push(Table {
        scenario: NAME,
        variant: String::new(),
        caption: format!(
            "{tasks} tasks (or threads) of one process wait for one lock, {processes} processes of \
             one task each for another, and {tasks} tasks of one process each for a lock of its own, \
             which another process of the same kind holds; at last {tasks} tasks for a lock that was \
             taken by the bare system call. They have waited for {settle_ms} ms, and nothing happens \
             for {time_ms} ms: processor time, user and system, of one core, the first two together \
             and each by itself; and the threads and descriptors that they have because they wait."
        ),
        columns: vec![
            column("together: CPU", "%"),
            column("tasks: CPU", "%"),
            column("tasks: threads", ""),
            column("tasks: descriptors", ""),
            column("processes: CPU", "%"),
            column("processes: threads", ""),
            column("processes: descriptors", ""),
            column("own paths: CPU", "%"),
            column("own paths: threads", ""),
            column("own paths: descriptors", ""),
            column("foreign holder: CPU", "%"),
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
    /// Whether the bare system call holds the locks, or a process like those that wait.
    foreign_holder: bool,
}

impl Crowd {
    /// Those who wait, and whoever they wait for.
    fn gather(
        self,
        run: &mut Run,
        contender: &'static Contender,
    ) -> io::Result<(Worker, Vec<Worker>)> {
        let path = run.new_path();
        let of_holder = if self.foreign_holder {
            contender.raw_of_its_family()
        } else {
            contender
        };
        let mut holder = Worker::spawn(HOLDER, of_holder, &path)?;
        holder.ask(&self.paths.to_string())?;
        let spawn = |_| Worker::spawn(ROLE, contender, &path);
        let mut waiting: Vec<_> = (0..self.processes).map(spawn).collect::<io::Result<_>>()?;
        for worker in &mut waiting {
            worker.send(&format!("{} {}", self.tasks, self.paths))?;
        }
        for worker in &mut waiting {
            worker.answer()?;
        }
        Ok((holder, waiting))
    }
}

/// The share of a core, the threads and the descriptors of each crowd.
fn wait_idly<const N: usize>(
    run: &mut Run,
    contender: &'static Contender,
    crowds: [Crowd; N],
    settle: Duration,
    time: Duration,
) -> io::Result<[Vec<f64>; N]> {
    let mut gathered = Vec::new();
    for crowd in crowds {
        gathered.push(crowd.gather(run, contender)?);
    }
    thread::sleep(settle);

    let started = now();
    for (_, waiting) in &mut gathered {
        for worker in waiting {
            worker.ask("begin")?;
        }
    }
    thread::sleep(time);
    for (_, waiting) in &mut gathered {
        for worker in waiting {
            worker.send("end")?;
        }
    }
    let elapsed = (now() - started) as f64;
    let mut values = [const { Vec::new() }; N];
    for (values, (_, waiting)) in values.iter_mut().zip(&mut gathered) {
        let (mut used, mut threads, mut descriptors) = (0, 0, 0);
        for worker in waiting {
            let [processor_time, its_threads, its_descriptors] = worker.numbers()?[..] else {
                return Err(misheard());
            };
            used += processor_time;
            threads += its_threads;
            descriptors += its_descriptors;
        }
        let share = 100.0 * used as f64 / elapsed;
        *values = vec![share, threads as f64, descriptors as f64];
    }
    Ok(values)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    path.with_extension(number.to_string())
}

/// Holds so many locks until this process ends.
pub(super) fn hold(mut side: Side) -> io::Result<()> {
    let numbers = side.commands.next_numbers().ok_or_else(misheard)?;
    let [paths] = numbers[..] else {
        return Err(misheard());
    };
    let open = |number| (side.contender.open)(&numbered(&side.path, number));
    let mut holders: Vec<_> = (0..paths).map(open).collect::<io::Result<_>>()?;
    let (mut by_tasks, mut by_threads) = (Vec::new(), Vec::new());
    for holder in &mut holders {
        match holder {
            Participant::Task(lock) => {
                by_tasks.push(side.runtime.block_on(lock.lock(Mode::Exclusive))?);
            }
            Participant::Thread(lock) => by_threads.push(lock.lock(Mode::Exclusive)?),
        }
    }
    say("held")?;
    while side.commands.next().is_some() {}
    Ok(())
}

pub(super) fn play(mut side: Side) -> io::Result<()> {
    let numbers = side.commands.next_numbers().ok_or_else(misheard)?;
    let [tasks, paths] = numbers[..] else {
        return Err(misheard());
    };
    // The runtime has this thread, so another one hears.
    let (tell, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let mut commands = side.commands;
    thread::spawn(move || {
        while let Some(order) = commands.next() {
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
