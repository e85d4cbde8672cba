//! The calls that a worker makes in a race, until the time is over.

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use touchfile_core::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

use super::join::join_all;
use super::log::{Call, Outcome, Recorder, WaitLimit, What};
use super::plan::Plan;
use super::random::Random;
use super::witness::Witness;

/// A task ends after this many errors, which are enough for the log.
const MOST_ERRORS: u32 = 10;

/// Uses the lock files of a plan as process `process`, and logs every call.
///
/// Returns soon after the duration of the plan, when the last waits are over. With a correct backend
/// every wait ends, because every holder releases. With a wrong backend this may never return, or block
/// its thread, so it has to run in a process that can be killed. It needs a tokio runtime of one thread
/// with timers.
///
/// # Errors
///
/// Those of writing the log. Errors of the backend are in the log.
pub(crate) async fn hammer<B: LockBackend>(
    backend: &B,
    plan: &Plan,
    process: u32,
    log: &mut impl Write,
) -> io::Result<()> {
    let recorder = Recorder::new(process, log);
    let end = Instant::now() + plan.duration;
    let tasks = (0..plan.tasks).map(|number| {
        let task = Task {
            backend,
            plan,
            recorder: &recorder,
            number,
            random: Random::new(plan.seed, process, number),
            errors: 0,
        };
        task.run(end)
    });
    join_all(tasks).await.into_iter().collect()
}

struct Task<'a, B, W> {
    backend: &'a B,
    plan: &'a Plan,
    recorder: &'a Recorder<W>,
    number: u32,
    random: Random,
    errors: u32,
}

impl<B: LockBackend, W: Write> Task<'_, B, W> {
    async fn run(mut self, end: Instant) -> io::Result<()> {
        while Instant::now() < end && self.errors < MOST_ERRORS {
            let files = u64::from(self.plan.files);
            let file = u32::try_from(self.random.below(files)).unwrap_or(0);
            self.use_handle(file, end).await?;
        }
        Ok(())
    }

    /// The life of one handle, from being opened to being dropped.
    async fn use_handle(&mut self, file: u32, end: Instant) -> io::Result<()> {
        self.invoke(file, Call::Open)?;
        let path = self.plan.lock_path(file);
        let opened = self.backend.open(&path, &OpenOptions::new()).await;
        self.answer(file, opened.as_ref().map_or_else(failed, |_| Outcome::Done))?;
        let Ok(mut handle) = opened else {
            return Ok(());
        };
        while Instant::now() < end {
            let mode = self.choose_mode();
            match self.acquire(&mut handle, file, mode).await? {
                Outcome::Acquired => self.work(file, mode).await?,
                Outcome::Failed(_) => break,
                _ => {}
            }
            if self.random.chance(self.plan.drops) {
                break;
            }
            if self.unlock(&mut handle, file).await? != Outcome::Done {
                break;
            }
            self.pause().await;
        }
        self.invoke(file, Call::Drop)?;
        drop(handle);
        self.answer(file, Outcome::Done)?;
        self.pause().await;
        Ok(())
    }

    async fn acquire(
        &mut self,
        handle: &mut B::Handle,
        file: u32,
        mode: LockMode,
    ) -> io::Result<Outcome> {
        let call = self.choose_acquisition(file, mode);
        self.invoke(file, call)?;
        let outcome = match call {
            Call::Lock(mode, WaitLimit::Unlimited) => acquired(handle.lock(mode).await),
            Call::Lock(mode, WaitLimit::Polls(polls)) => {
                match give_up_after(polls, handle.lock(mode)).await {
                    Some(result) => acquired(result),
                    None => Outcome::Cancelled,
                }
            }
            Call::Lock(mode, WaitLimit::Timeout(timeout)) => {
                match tokio::time::timeout(timeout, handle.lock(mode)).await {
                    Ok(result) => acquired(result),
                    Err(_) => Outcome::TimedOut,
                }
            }
            _ => match handle.try_lock(mode).await {
                Ok(Attempt::Acquired) => Outcome::Acquired,
                Ok(Attempt::WouldBlock) => Outcome::WouldBlock,
                Err(error) => failed(&error),
            },
        };
        self.answer(file, outcome.clone())?;
        Ok(outcome)
    }

    async fn unlock(&mut self, handle: &mut B::Handle, file: u32) -> io::Result<Outcome> {
        self.invoke(file, Call::Unlock)?;
        let outcome = match handle.unlock().await {
            Ok(()) => Outcome::Done,
            Err(error) => failed(&error),
        };
        self.answer(file, outcome.clone())?;
        Ok(outcome)
    }

    /// Uses the witness while the lock is held.
    async fn work(&mut self, file: u32, mode: LockMode) -> io::Result<()> {
        if !self.plan.witness {
            self.hold().await;
            return Ok(());
        }
        let witness = Witness::new(self.plan, file);
        let call = match mode {
            LockMode::Exclusive => Call::Increment,
            LockMode::Shared => Call::ReadTwice,
        };
        self.invoke(file, call)?;
        let outcome = match mode {
            LockMode::Exclusive => self.increment(&witness).await,
            LockMode::Shared => self.read_twice(&witness).await,
        };
        self.answer(file, outcome.unwrap_or_else(|error| failed(&error)))
    }

    async fn increment(&mut self, witness: &Witness) -> io::Result<Outcome> {
        let found = witness.read()?;
        self.hold().await;
        witness.write_next(found)?;
        Ok(Outcome::Found(found))
    }

    async fn read_twice(&mut self, witness: &Witness) -> io::Result<Outcome> {
        let first = witness.read()?;
        self.hold().await;
        let second = witness.read()?;
        Ok(if first == second {
            Outcome::Found(first)
        } else {
            Outcome::Changed(first, second)
        })
    }

    fn choose_mode(&mut self) -> LockMode {
        if self.random.chance(self.plan.shared) {
            LockMode::Shared
        } else {
            LockMode::Exclusive
        }
    }

    fn choose_acquisition(&mut self, file: u32, mode: LockMode) -> Call {
        let Plan {
            tries,
            timeouts,
            cancels,
            ..
        } = *self.plan;
        let dice = u32::try_from(self.random.below(100)).unwrap_or(0);
        if dice < tries {
            return Call::Try(mode);
        }
        let patience = if !self.plan.gives_up_on(file) || dice >= tries + timeouts + cancels {
            WaitLimit::Unlimited
        } else if dice >= tries + timeouts {
            WaitLimit::Polls(u32::try_from(1 + self.random.below(4)).unwrap_or(1))
        } else {
            WaitLimit::Timeout(self.up_to(self.plan.longest_timeout))
        };
        Call::Lock(mode, patience)
    }

    /// The pause between two uses of the lock. It is mostly long enough for the lock to be free at
    /// times.
    async fn pause(&mut self) {
        match self.random.below(4) {
            0 => tokio::task::yield_now().await,
            more => tokio::time::sleep(Duration::from_millis(more)).await,
        }
    }

    /// The time for which the lock is held, which is mostly short.
    async fn hold(&mut self) {
        match self.random.below(4) {
            0 => tokio::time::sleep(self.up_to(self.plan.longest_hold)).await,
            more => {
                for _ in 1..more {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        let longest_us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.below(longest_us))
    }

    fn invoke(&self, file: u32, call: Call) -> io::Result<()> {
        self.recorder.write(self.number, file, What::Invoked(call))
    }

    fn answer(&mut self, file: u32, outcome: Outcome) -> io::Result<()> {
        self.errors += u32::from(matches!(outcome, Outcome::Failed(_)));
        self.recorder
            .write(self.number, file, What::Answered(outcome))
    }
}

fn acquired(result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Acquired,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> Outcome {
    Outcome::Failed(format!("{:?}: {error}", error.kind()))
}

/// Polls a future this many times, even if it was not woken, and drops it if it has not ended.
async fn give_up_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for poll in 0..polls {
        // The second poll follows at once, the later ones after a pause.
        match poll {
            0 => {}
            1 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
        if let Poll::Ready(output) = polled.await {
            return Some(output);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::flock::FlockBackend;
    use touchfile_mock::World;

    use super::super::History;
    use super::*;
    use crate::handles::runtime;

    fn run(backend: &impl LockBackend, plan: &Plan, process: u32) -> String {
        let mut log = Vec::new();
        runtime()
            .unwrap()
            .block_on(hammer(backend, plan, process, &mut log))
            .unwrap();
        String::from_utf8(log).unwrap()
    }

    #[test]
    fn hammering_logs_calls_of_every_kind_and_answers_them_all() {
        const KINDS: [&str; 14] = [
            "> open",
            "> try exclusive",
            "> try shared",
            "> unlock",
            "> drop",
            "> read-twice",
            "polls",
            "timeout_us",
            "> increment",
            "< acquired",
            "< would-block",
            "< cancelled",
            "< timed-out",
            "< found",
        ];
        let dir = tempfile::tempdir().unwrap();
        let mut plan = Plan::new(dir.path(), 1);
        plan.duration = Duration::from_millis(50);
        plan.tasks = 6;
        Witness::prepare(&plan).unwrap();
        let mut missing = KINDS.to_vec();
        // The scheduler decides which kinds of calls one run has.
        for process in 0..100 {
            let log = run(&FlockBackend, &plan, process);
            missing.retain(|kind| !log.contains(kind));
            let mut history = History::new();
            history.add_log(&log).unwrap();
            assert!(history.calls.iter().all(|call| call.answer.is_some()));
            assert!(history.calls.iter().all(|call| call.process == process));
            if missing.is_empty() {
                return;
            }
        }
        panic!("never seen: {missing:?}");
    }

    #[test]
    fn a_backend_in_memory_is_hammered_without_a_witness() {
        let mut plan = Plan::new("/", 2);
        plan.duration = Duration::from_millis(50);
        plan.witness = false;
        let log = run(&World::new().process("a"), &plan, 0);
        assert!(
            log.contains("< acquired") && !log.contains("failed"),
            "{log}"
        );
    }
}
