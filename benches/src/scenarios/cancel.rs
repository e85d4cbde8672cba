//! Waits that are given up: how soon they end, and what they leave behind.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::other::Other;
use crate::clock::{Nanos, now};
use crate::contenders::{Contender, Mode, Participant, Release, TaskLock, ThreadLock};
use crate::proc::{Belongings, blocked_on};
use crate::report::{Table, column};
use crate::run::{Run, misheard, turns};
use crate::stats::{Random, Sample};
use crate::worker::{Side, Worker, say};

pub(super) const NAME: &str = "cancel";
pub(super) const ROLE: &str = "cancel";

struct Entrant {
    worker: Worker,
    drops: Vec<Nanos>,
    deadlines: Vec<Nanos>,
    granted: u64,
    /// How often the lock was found taken when nobody was there any more who had asked for it.
    ghosts: u64,
    /// The most threads that were still blocked when the caller had been told that time is up.
    abandoned: u64,
}

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let (rounds, races, deadlines) = run.effort.pick((20, 500, 15), (2, 60, 6), (1, 4, 2));
    let (able, out): (Vec<_>, Vec<_>) = run
        .waiters()
        .into_iter()
        .partition(|contender| contender.deadline);
    let mut entrants = Vec::new();
    for contender in able {
        let mut worker = Worker::spawn(ROLE, contender, &run.new_path())?;
        worker.answer()?;
        entrants.push(Entrant {
            worker,
            drops: Vec::new(),
            deadlines: Vec::new(),
            granted: 0,
            ghosts: 0,
            abandoned: 0,
        });
    }
    run.begin(NAME, rounds * entrants.len());
    for round in 0..rounds {
        for entrant in turns(&mut entrants, round) {
            entrant.worker.send(&format!("{races} {deadlines}"))?;
            let tally = entrant.worker.numbers()?;
            let [granted, ghosts, abandoned] = tally[..] else {
                return Err(misheard());
            };
            entrant.granted += granted;
            entrant.ghosts += ghosts;
            entrant.abandoned = entrant.abandoned.max(abandoned);
            entrant.drops.extend(entrant.worker.numbers()?);
            entrant.deadlines.extend(entrant.worker.numbers()?);
            run.step();
        }
    }
    run.end();

    let mut lines = Vec::new();
    for mut entrant in entrants {
        entrant.worker.send("0 0")?;
        let mut values = vec![entrant.drops.len() as f64, entrant.granted as f64];
        // What a thread ends is a deadline.
        let [drops, deadlines] = [entrant.drops, entrant.deadlines].map(Sample::new);
        let in_task = entrant.worker.contender().is_async();
        for share in [0.5, 0.99] {
            values.push(if in_task {
                drops.percentile(share, 1e3)
            } else {
                f64::NAN
            });
        }
        for share in [0.5, 0.99] {
            values.push(deadlines.percentile(share, 1e3));
        }
        values.extend([entrant.abandoned as f64, entrant.ghosts as f64]);
        values.extend(
            entrant
                .worker
                .numbers()?
                .into_iter()
                .map(|number| number as f64),
        );
        lines.push((entrant.worker.contender().name, values));
    }
    let reason = |contender: &Contender| (contender.name, "its wait cannot be given up".to_owned());
    run.report.tables.push(Table {
        scenario: NAME,
        variant: String::new(),
        caption: format!(
            "{} waits for a lock that is released at about the moment the wait is given up (by \
             dropping the future; by a deadline where a thread waits), and {} whose deadline comes \
             while the lock is held: how long the drop took, how late the deadline was, how many \
             threads were still blocked then, how often the lock was found taken although everybody had \
             gone, and what was left at the end.",
            rounds * races,
            rounds * deadlines,
        ),
        columns: vec![
            column("given up", ""),
            column("granted", ""),
            column("drop p50", "µs"),
            column("drop p99", "µs"),
            column("deadline p50", "µs late"),
            column("deadline p99", "µs late"),
            column("abandoned threads", ""),
            column("ghosts", ""),
            column("left: threads", ""),
            column("left: descriptors", ""),
            column("left: watches", ""),
            column("left: locks", ""),
        ],
        lines,
        unable: out.into_iter().map(reason).collect(),
    });
    Ok(())
}

pub(super) fn play(mut side: Side) -> io::Result<()> {
    let mut participant = side.open()?;
    let mut other = Other::new(side.contender.family, &side.path)?;
    let mut random = Random::new(0xCA_4CE1);
    let runtime = &side.runtime;
    // Whatever a process makes at its first waits, and keeps, is there afterwards.
    other.hold(now() + 3_000_000, None)?;
    participant.with(runtime, Mode::Exclusive, Release::Drop, || ())?;
    other.has_released()?;
    other.hold(now() + 6_000_000, None)?;
    wait_in_vain(&mut participant, runtime, Duration::from_millis(3))?;
    other.has_released()?;
    let before = Belongings::now()?;
    say("ready")?;

    while let Some(numbers) = side.commands.next_numbers() {
        let [races, deadlines] = numbers[..] else {
            return Err(misheard());
        };
        if races == 0 {
            runtime.block_on(settle(before))?;
            let all = Belongings::now()?;
            say(format!(
                "{} {} {} {}",
                all.threads.saturating_sub(before.threads),
                all.descriptors.saturating_sub(before.descriptors),
                all.watches.saturating_sub(before.watches),
                all.locks.saturating_sub(before.locks),
            ))?;
            continue;
        }
        let (mut granted, mut ghosts, mut abandoned) = (0, 0, 0);
        let (mut given_up, mut late) = (Vec::new(), Vec::new());
        for _ in 0..races {
            let ended = match &mut participant {
                Participant::Task(lock) => race(&mut **lock, runtime, &mut other, &mut random)?,
                Participant::Thread(lock) => race_deadline(&mut **lock, &mut other, &mut random)?,
            };
            match ended {
                Some(time) => given_up.push(time),
                None => granted += 1,
            }
            ghosts += u64::from(other.finds_it_taken()?);
        }
        for _ in 0..deadlines {
            let time = Duration::from_micros(3_000 + random.below(2_000));
            other.hold(now() + 12_000_000, None)?;
            let started = now();
            let timely = wait_in_vain(&mut participant, runtime, time)?;
            let ended = now();
            if timely {
                late.push((ended - started).saturating_sub(nanos(time)));
                abandoned = abandoned.max(blocked_on(other.file())?);
            }
            other.has_released()?;
            ghosts += u64::from(other.finds_it_taken()?);
        }
        say(format!("{granted} {ghosts} {abandoned}"))?;
        say(words(&given_up))?;
        say(words(&late))?;
    }
    Ok(())
}

/// Waits for a lock that is held for longer. Whether it did so in vain.
fn wait_in_vain(
    participant: &mut Participant,
    runtime: &Runtime,
    time: Duration,
) -> io::Result<bool> {
    match participant {
        Participant::Task(lock) => {
            let granted = runtime.block_on(lock.lock_timeout(Mode::Exclusive, time))?;
            Ok(!granted)
        }
        Participant::Thread(lock) => Ok(lock.lock_timeout(Mode::Exclusive, time)?.is_none()),
    }
}

/// Drops a wait at about the moment the lock is free. How long the drop took, or `None` if the
/// lock was granted.
fn race(
    lock: &mut dyn TaskLock,
    runtime: &Runtime,
    other: &mut Other,
    random: &mut Random,
) -> io::Result<Option<Nanos>> {
    let (cancel, mut cancelled) = oneshot::channel();
    let start = now() + 60_000;
    other.hold(
        start + random.below(120_000),
        Some((start + random.below(120_000), cancel)),
    )?;
    let ended = runtime.block_on(async {
        let mut wait = lock.lock(Mode::Exclusive);
        tokio::select! {
            biased;
            _ = &mut cancelled => {
                let started = now();
                drop(wait);
                Ok::<_, io::Error>(Some(now() - started))
            }
            held = &mut wait => {
                held?.unlock().await?;
                Ok(None)
            }
        }
    });
    other.has_released()?;
    ended
}

/// The same with a deadline, for a thread. How late it was.
fn race_deadline(
    lock: &mut dyn ThreadLock,
    other: &mut Other,
    random: &mut Random,
) -> io::Result<Option<Nanos>> {
    let time = Duration::from_micros(300);
    other.hold(now() + 250_000 + random.below(100_000), None)?;
    let started = now();
    let held = lock.lock_timeout(Mode::Exclusive, time)?;
    let ended = now();
    let granted = held.is_some();
    if let Some(held) = held {
        held.unlock()?;
    }
    other.has_released()?;
    Ok((!granted).then(|| (ended - started).saturating_sub(nanos(time))))
}

/// Gives what was given up the time to go.
async fn settle(before: Belongings) -> io::Result<()> {
    for _ in 0..200 {
        if Belongings::now()? == before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}

fn words(numbers: &[Nanos]) -> String {
    let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    words.join(" ")
}
