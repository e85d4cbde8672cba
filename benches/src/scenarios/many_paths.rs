//! Many different paths, held at once, and waited for at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::clock::{Nanos, now, sleep_until};
use crate::contenders::{Contender, Mode, Participant, Waits};
use crate::proc::raise_descriptor_limit;
use crate::report::{Table, column, with_ratio};
use crate::run::{Run, in_rounds, misheard};
use crate::stats::Sample;
use crate::worker::{Side, Worker, numbers, say};

pub(super) const NAME: &str = "many-paths";
pub(super) const ROLE: &str = "many-paths";

/// Descriptors that are not lock files.
const SPARE: u64 = 100;

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let limit = raise_descriptor_limit()?;
    let wanted = run.effort.pick(10_000, 2_000, 20);
    let count = wanted.min(limit.saturating_sub(SPARE));
    let contenders = run.waiters();
    // One after the other, all use the same files: creating them takes longer than all the rest.
    let directory = run.new_path();
    fs::create_dir(&directory)?;
    for path in paths(&directory, count) {
        fs::File::create(path)?;
    }
    let rounds = run.effort.pick(3, 1, 1);
    run.begin(NAME, contenders.len() * rounds);
    let holding_only = contenders
        .iter()
        .filter(|contender| contender.waits == Waits::Thread);
    let reason = format!("waiting: it needs {count} threads for that");
    let mut unable: Vec<_> = holding_only
        .map(|contender| (contender.name, reason.clone()))
        .collect();
    let measure = |_: &mut Run, contender| measure(contender, &directory, count);
    let (lines, failed) = in_rounds(run, contenders, rounds, 0, measure)?;
    unable.extend(failed);
    run.end();
    let met = if count < wanted {
        format!("{wanted} were wanted, and the limit of descriptors (RLIMIT_NOFILE) met.")
    } else {
        format!(
            "The limit of descriptors (RLIMIT_NOFILE) is {limit}, and was not met but where said."
        )
    };
    run.report.tables.push(Table {
        scenario: NAME,
        variant: String::new(),
        caption: format!(
            "One process opens {count} files and holds the locks on all of them; another waits for \
             all of them in {count} tasks; then the first releases one after the other as fast as \
             it can; the middle one of {rounds} rounds. {met}"
        ),
        columns: vec![
            with_ratio("open and lock", "µs each"),
            column("all waiting after", "ms"),
            column("all handed over after", "ms"),
            column("late p50", "µs"),
            column("late p99", "µs"),
        ],
        lines,
        unable,
    });
    Ok(())
}

fn measure(
    contender: &'static Contender,
    directory: &Path,
    count: u64,
) -> io::Result<Result<Vec<f64>, String>> {
    let mut holder = Worker::spawn(ROLE, contender, directory)?;
    let answer = holder.ask(&format!("hold {count}"))?;
    let Ok(held) = answer.parse::<Nanos>() else {
        return Ok(Err(answer));
    };
    let mut values = vec![held as f64 / 1e3 / count as f64];
    if contender.waits == Waits::Thread {
        values.extend([f64::NAN; 4]);
        return Ok(Ok(values));
    }
    let mut waiter = Worker::spawn(ROLE, contender, directory)?;
    let answer = waiter.ask(&format!("wait {count}"))?;
    let Ok(waiting) = answer.parse::<Nanos>() else {
        return Ok(Err(format!(
            "it holds them, but cannot wait for them: {answer}"
        )));
    };
    values.push(waiting as f64 / 1e6);
    let start = now() + 50_000_000;
    holder.send(&format!("release {start}"))?;
    let acquired = waiter.answer()?;
    let Ok(acquired) = numbers(&acquired) else {
        return Ok(Err(format!(
            "it holds them, but cannot wait for them: {acquired}"
        )));
    };
    let released = holder.numbers()?;
    if acquired.len() != released.len() {
        return Ok(Err("not all were handed over".to_owned()));
    }
    let last = acquired.iter().max().copied().unwrap_or(start);
    values.push(last.saturating_sub(start) as f64 / 1e6);
    let late = acquired.iter().zip(&released);
    let late = Sample::new(
        late.map(|(got, let_go)| got.saturating_sub(*let_go))
            .collect(),
    );
    values.extend([0.5, 0.99].map(|share| late.percentile(share, 1e3)));
    Ok(Ok(values))
}

pub(super) fn play(mut side: Side) -> io::Result<()> {
    raise_descriptor_limit()?;
    let order = side.commands.next().ok_or_else(misheard)?;
    let (verb, count) = order.split_once(' ').ok_or_else(misheard)?;
    let count: u64 = count.parse().map_err(|_| misheard())?;
    let done = match verb {
        "hold" => hold(&mut side, count),
        "wait" => wait(&side, count),
        _ => Err(misheard()),
    };
    if let Err(error) = done {
        say(error)?;
    }
    Ok(())
}

fn paths(directory: &Path, count: u64) -> impl Iterator<Item = PathBuf> {
    (0..count).map(move |number| directory.join(format!("{number}.lock")))
}

fn hold(side: &mut Side, count: u64) -> io::Result<()> {
    let started = now();
    let open = |path: PathBuf| (side.contender.open)(&path);
    let mut all: Vec<_> = paths(&side.path, count)
        .map(open)
        .collect::<io::Result<_>>()?;
    let mut held: Vec<Box<dyn FnOnce() + '_>> = Vec::new();
    for participant in &mut all {
        held.push(lock(&side.runtime, participant)?);
    }
    say(now() - started)?;

    let order = side.commands.next().ok_or_else(misheard)?;
    let start = order
        .strip_prefix("release ")
        .and_then(|start| start.parse().ok());
    sleep_until(start.ok_or_else(misheard)?);
    let mut released = Vec::with_capacity(held.len());
    for release in held {
        released.push(now().to_string());
        release();
    }
    say(released.join(" "))?;
    // A file that is closed is another sign of a release: not before it is measured.
    side.commands.next();
    Ok(())
}

/// Returns what releases it.
fn lock<'a>(
    runtime: &Runtime,
    participant: &'a mut Participant,
) -> io::Result<Box<dyn FnOnce() + 'a>> {
    match participant {
        Participant::Task(lock) => {
            let held = runtime.block_on(lock.lock(Mode::Exclusive))?;
            Ok(Box::new(move || drop(held)))
        }
        Participant::Thread(lock) => {
            let held = lock.lock(Mode::Exclusive)?;
            Ok(Box::new(move || drop(held)))
        }
    }
}

fn wait(side: &Side, count: u64) -> io::Result<()> {
    let started = now();
    let open = |path: PathBuf| (side.contender.open)(&path);
    let all: Vec<_> = paths(&side.path, count)
        .map(open)
        .collect::<io::Result<_>>()?;
    side.runtime.block_on(async {
        let (tell, mut hear) = mpsc::unbounded_channel();
        let tell = Arc::new(tell);
        for (number, participant) in all.into_iter().enumerate() {
            let Participant::Task(mut lock) = participant else {
                return Err(misheard());
            };
            let tell = tell.clone();
            tokio::spawn(async move {
                let held = lock.lock(Mode::Exclusive).await.map(|held| {
                    let acquired = now();
                    drop(held);
                    (number, acquired)
                });
                tell.send(held)
            });
        }
        // Those who wait have been polled once before this goes on.
        tokio::task::yield_now().await;
        if let Ok(early) = hear.try_recv() {
            early?;
            return Err(misheard());
        }
        say(now() - started)?;
        let mut acquired = vec![0; usize::try_from(count).expect("they are in memory")];
        for _ in 0..count {
            let (number, moment) = hear.recv().await.ok_or_else(misheard)??;
            acquired[number] = moment;
        }
        let acquired: Vec<_> = acquired.iter().map(Nanos::to_string).collect();
        say(acquired.join(" "))
    })
}
