//! Many tasks of one process on one path.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{now, processor_time};
use crate::contenders::{Contender, Mode, Participant, Release, Waits};
use crate::proc::{Belongings, memory};
use crate::report::{Table, column, with_ratio};
use crate::run::{Effort, Run, in_rounds, misheard};
use crate::worker::{Side, Worker, say};

pub(super) const NAME: &str = "fan-in";
pub(super) const ROLE: &str = "fan-in";

/// What the tasks have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Common {
    /// One lock, where a contender's can be shared; else nothing but the path.
    Lock,
    Path,
}

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let counts = run
        .effort
        .pick(&[1_000, 10_000][..], &[1_000, 10_000], &[10]);
    for count in counts {
        measure(run, *count, Common::Lock)?;
    }
    if run.effort == Effort::Quick {
        return Ok(());
    }
    measure(run, counts[0], Common::Path)
}

fn measure(run: &mut Run, count: u64, common: Common) -> io::Result<()> {
    let (rounds, total, timeout_ms) =
        run.effort
            .pick((3, 100_000, 2_000), (1, 20_000, 250), (1, 20, 2_000));
    let (contenders, mut unable) = run.unlike();
    let variant = match common {
        Common::Lock => format!("{count} tasks"),
        Common::Path => format!("{count} tasks, a lock each"),
    };
    let needs_threads = |contender: &&Contender| count > 1_000 && contender.waits == Waits::Thread;
    let (out, able): (Vec<_>, Vec<_>) = contenders.into_iter().partition(needs_threads);
    let reason = |contender: &Contender| {
        (
            contender.name,
            "it needs a thread for each waiter".to_owned(),
        )
    };
    unable.extend(out.into_iter().map(reason));
    // Without a common lock the others have been measured already.
    let takes_part = |contender: &&Contender| common == Common::Lock || contender.is_ours();
    let able: Vec<_> = able.into_iter().filter(takes_part).collect();

    run.begin(&format!("{NAME} {variant}"), able.len() * rounds);
    let times = (total / count).max(1);
    let (lines, failed) = in_rounds(run, able, rounds, 0, |run, contender| {
        let mut worker = Worker::spawn(ROLE, contender, &run.new_path())?;
        let shares = u64::from(common == Common::Lock);
        Ok(line(
            &worker.ask(&format!("{count} {times} {timeout_ms} {shares}"))?,
        ))
    })?;
    unable.extend(failed);
    run.end();
    run.report.tables.push(Table {
        scenario: NAME,
        variant,
        caption: format!(
            "{count} tasks (threads, where a contender has nothing else) of one process lock one \
             path, yield once while they hold it, and release, {times} times each, for \
             {timeout_ms} ms at most, in {rounds} rounds, of which the middle one is shown. Memory, threads and descriptors are what each waiter adds while all of them \
             wait, with its lock where it needs one of its own; the order is that of the first \
             acquisitions, and whole if the first to come was the first to be served."
        ),
        columns: vec![
            with_ratio("rate", "/s"),
            column("CPU", "µs each"),
            column("in order", "%"),
            column("done", "%"),
            column("memory", "B/task"),
            column("threads", ""),
            column("descriptors", ""),
        ],
        lines,
        unable,
    });
    Ok(())
}

fn line(answer: &str) -> Result<Vec<f64>, String> {
    let numbers: Result<Vec<f64>, _> = answer.split(' ').map(str::parse).collect();
    match numbers {
        Ok(numbers) if numbers.len() == 7 => Ok(numbers),
        _ => Err(answer.to_owned()),
    }
}

pub(super) fn play(mut side: Side) -> io::Result<()> {
    let numbers = side.commands.next_numbers().ok_or_else(misheard)?;
    let [count, rounds, timeout_ms, shares] = numbers[..] else {
        return Err(misheard());
    };
    crate::proc::raise_descriptor_limit()?;
    match compete(
        &side,
        count,
        rounds,
        Duration::from_millis(timeout_ms),
        shares > 0,
    ) {
        Ok(answer) => say(answer)?,
        Err(error) => say(error)?,
    }
    // Many may wait still, and are not waited for.
    std::process::exit(0);
}

/// What all who compete write down.
#[derive(Default)]
struct Board {
    /// Who has had it, in order.
    firsts: Mutex<Vec<u64>>,
    /// How many want it.
    arrived: AtomicU64,
    acquisitions: AtomicU64,
    finished: AtomicU64,
    failure: Mutex<Option<io::Error>>,
    all_finished: Notify,
}

impl Board {
    fn acquired(&self, number: u64, round: u64) {
        self.acquisitions.fetch_add(1, Ordering::Relaxed);
        if round == 0 {
            lock(&self.firsts).push(number);
        }
    }

    fn finish(&self, count: u64, result: io::Result<()>) {
        if let Err(error) = result {
            *lock(&self.failure) = Some(error);
            self.all_finished.notify_one();
        }
        if self.finished.fetch_add(1, Ordering::Relaxed) + 1 == count {
            self.all_finished.notify_one();
        }
    }
}

fn compete(
    side: &Side,
    count: u64,
    rounds: u64,
    timeout: Duration,
    shares: bool,
) -> io::Result<String> {
    let open = || (side.contender.open)(&side.path);
    let first = open()?;
    let mut holder = (side.contender.raw_of_its_family().open)(&side.path)?;
    let board = Arc::new(Board::default());
    let runtime = &side.runtime;
    // Lazy things of the runtime are not the waiters'.
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });

    let (before, after, started, worked) =
        holder.with(runtime, Mode::Exclusive, Release::Drop, || {
            let before = (Belongings::now()?, memory()?);
            runtime.block_on(async {
                for number in 0..count {
                    let shared = if shares { first.share() } else { None };
                    let participant = shared.map_or_else(open, Ok)?;
                    start(participant, number, count, rounds, &board);
                }
                while board.arrived.load(Ordering::Relaxed) < count {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                // Beyond having come: to wait, and to have what one needs for that.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, io::Error>(())
            })?;
            let after = (Belongings::now()?, memory()?);
            Ok::<_, io::Error>((before, after, now(), processor_time()))
        })??;
    let finished = runtime
        .block_on(async { tokio::time::timeout(timeout, board.all_finished.notified()).await });
    let elapsed = now() - started;
    let worked = processor_time() - worked;
    if let Some(error) = lock(&board.failure).take() {
        return Err(error);
    }

    let acquisitions = board.acquisitions.load(Ordering::Relaxed);
    let firsts = lock(&board.firsts);
    let in_task = side.contender.is_async();
    let ordered = firsts.windows(2).filter(|pair| pair[0] < pair[1]).count() as u64;
    let in_order = if in_task && firsts.len() > 1 {
        100.0 * ordered as f64 / (firsts.len() - 1) as f64
    } else {
        // Threads do not start in the order they are asked to.
        f64::NAN
    };
    let each = |before: u64, after: u64| after.saturating_sub(before);
    let done = if finished.is_ok() {
        100.0
    } else {
        100.0 * acquisitions as f64 / (count * rounds) as f64
    };
    Ok(format!(
        "{} {} {in_order} {done} {} {} {}",
        acquisitions as f64 * 1e9 / elapsed as f64,
        worked as f64 / 1e3 / acquisitions as f64,
        each(before.1, after.1) as f64 / count as f64,
        each(before.0.threads, after.0.threads),
        each(before.0.descriptors, after.0.descriptors),
    ))
}

/// Somebody who wants the lock this often.
fn start(participant: Participant, number: u64, count: u64, rounds: u64, board: &Arc<Board>) {
    let board = board.clone();
    match participant {
        Participant::Task(mut participant) => {
            tokio::spawn(async move {
                board.arrived.fetch_add(1, Ordering::Relaxed);
                let mut result = Ok(());
                for round in 0..rounds {
                    match participant.lock(Mode::Exclusive).await {
                        Ok(held) => {
                            board.acquired(number, round);
                            tokio::task::yield_now().await;
                            drop(held);
                        }
                        Err(error) => {
                            result = Err(error);
                            break;
                        }
                    }
                }
                board.finish(count, result);
            });
        }
        Participant::Thread(mut participant) => {
            let own = board.clone();
            let spawned = thread::Builder::new().spawn(move || {
                board.arrived.fetch_add(1, Ordering::Relaxed);
                let mut result = Ok(());
                for round in 0..rounds {
                    match participant.lock(Mode::Exclusive) {
                        Ok(held) => {
                            board.acquired(number, round);
                            thread::yield_now();
                            drop(held);
                        }
                        Err(error) => {
                            result = Err(error);
                            break;
                        }
                    }
                }
                board.finish(count, result);
            });
            if let Err(error) = spawned {
                own.finish(count, Err(error));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
