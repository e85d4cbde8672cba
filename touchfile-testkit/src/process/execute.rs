//! Executes commands in a worker, which keeps the handles and waits.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use touchfile_core::{
    Attempt, BoxBackend, ConvertLock, LockBackend, LockHandle, LockMode, OpenOptions,
};

use super::{Answer, Command, ScriptOutcome, Slot, children, scripts};
use crate::handles::{Handle, Wait, WaitEnd, poll_once, runtime};
use crate::past::Misstep;

/// Executes commands, with one backend.
pub(crate) struct Executor {
    backend: BoxBackend,
    runtime: Runtime,
    slots: BTreeMap<Slot, Kept>,
    children: children::Children,
}

/// How often a backend that is not told of a loss asks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

enum Kept {
    Idle(Handle),
    Waiting(Wait),
}

impl Executor {
    pub(crate) fn new(backend: BoxBackend) -> io::Result<Self> {
        Ok(Self {
            backend,
            runtime: runtime()?,
            slots: BTreeMap::new(),
            children: children::Children::default(),
        })
    }

    /// Executes a command. A panic of the backend becomes an answer. If the backend blocks, this does
    /// not return.
    pub(crate) fn execute(&mut self, command: Command) -> Answer {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let answer = self.carry_out(command);
            self.let_tasks_run();
            answer
        }));
        answer.unwrap_or_else(|panic| Answer::Panicked(super::panic_message(panic.as_ref())))
    }

    fn carry_out(&mut self, command: Command) -> Answer {
        match command {
            Command::AwaitLoss(slot, time) => self.with(slot, async |handle| {
                let lost = handle.lost(LOOK_AGAIN);
                match tokio::time::timeout(time, lost).await {
                    Ok(Ok(())) => Answer::Yes,
                    Ok(Err(error)) => Answer::failed(&error),
                    Err(_) => Answer::Pending,
                }
            }),
            Command::IsLost(slot) => {
                self.with(slot, async |handle| yes_or_no(handle.is_lost().await))
            }
            Command::Belongings => Answer::Text(children::belongings()),
            Command::Cancel(slot) => self.cancel(slot),
            Command::Downgrade(slot) => {
                self.with(slot, async |handle| match handle.downgrade().await {
                    Ok(()) => Answer::Done,
                    Err(error) => Answer::failed(&error),
                })
            }
            Command::Drop(slot) => {
                drop(self.slots.remove(&slot));
                Answer::Done
            }
            Command::EndChildren => {
                self.children.end();
                Answer::Done
            }
            Command::Fork => self.children.fork(),
            Command::ForkAndConvert(slot, mode) => self.fork_and_convert(slot, mode),
            Command::ForkAndDrop(slot) => self.fork_and_drop(slot),
            Command::IsCurrent(slot, path) => self.is_current(slot, &path),
            Command::Open(slot, path, options) => self.open(slot, &path, &options),
            Command::Run(script, path, words) => {
                match scripts::run(&script, &self.backend, &self.runtime, &path, &words) {
                    Ok(answer) => answer,
                    Err(error) => script_failed(&error),
                }
            }
            Command::Poll(slot, time) => self.poll(slot, time),
            Command::Reset => {
                self.children.end();
                // One handle at a time, so that after a panic the next reset drops the others.
                while let Some((_, kept)) = self.slots.pop_first() {
                    drop(kept);
                }
                Answer::Done
            }
            Command::Spawn => self.children.spawn(),
            Command::Start(slot, mode) => self.start(slot, mode),
            Command::Token(slot) => self.with(slot, async |handle| Answer::Token(handle.token())),
            Command::TryLock(slot, mode) => {
                self.with(slot, async |handle| attempted(handle.try_lock(mode).await))
            }
            Command::TryUpgrade(slot) => {
                self.with(slot, async |handle| attempted(handle.try_upgrade().await))
            }
            Command::Unlock(slot) => self.with(slot, async |handle| match handle.unlock().await {
                Ok(()) => Answer::Done,
                Err(error) => Answer::failed(&error),
            }),
        }
    }

    fn open(&mut self, slot: Slot, path: &Path, options: &OpenOptions) -> Answer {
        match self.runtime.block_on(self.backend.open(path, options)) {
            Ok(handle) => {
                self.slots.insert(slot, Kept::Idle(handle));
                Answer::Done
            }
            Err(error) => Answer::failed(&error),
        }
    }

    fn with(&mut self, slot: Slot, work: impl AsyncFnOnce(&mut Handle) -> Answer) -> Answer {
        match self.slots.get_mut(&slot) {
            Some(Kept::Idle(handle)) => self.runtime.block_on(work(handle)),
            _ => Answer::Unable("there is no idle handle".into()),
        }
    }

    fn is_current(&mut self, slot: Slot, path: &Path) -> Answer {
        self.with(slot, async |handle| {
            yes_or_no(handle.is_current(path).await)
        })
    }

    fn start(&mut self, slot: Slot, mode: LockMode) -> Answer {
        match self.slots.remove(&slot) {
            Some(Kept::Idle(handle)) => {
                self.slots
                    .insert(slot, Kept::Waiting(Wait::new(handle, mode)));
                self.poll(slot, Duration::ZERO)
            }
            other => {
                self.slots.extend(other.map(|kept| (slot, kept)));
                Answer::Unable("there is no idle handle".into())
            }
        }
    }

    fn poll(&mut self, slot: Slot, time: Duration) -> Answer {
        let Some(Kept::Waiting(wait)) = self.slots.get_mut(&slot) else {
            return Answer::Unable("nothing waits".into());
        };
        let polled = self.runtime.block_on(poll_for(time, wait.future()));
        let Some((handle, end)) = polled else {
            return Answer::Pending;
        };
        self.slots.insert(slot, Kept::Idle(handle));
        match end {
            WaitEnd::Cancelled => Answer::Done,
            WaitEnd::Failed(error) => Answer::failed(&error),
            WaitEnd::Granted => Answer::Acquired,
        }
    }

    fn cancel(&mut self, slot: Slot) -> Answer {
        if let Some(Kept::Waiting(wait)) = self.slots.get_mut(&slot) {
            wait.cancel();
        }
        self.poll(slot, Duration::ZERO)
    }

    fn fork_and_convert(&mut self, slot: Slot, mode: LockMode) -> Answer {
        let Some(Kept::Idle(handle)) = self.slots.get_mut(&slot) else {
            return Answer::Unable("there is no idle handle".into());
        };
        let runtime = &self.runtime;
        children::run_in_child(|| {
            // The case checks the lock of the parent, not the answer in the child.
            match mode {
                LockMode::Exclusive => drop(runtime.block_on(handle.try_upgrade())),
                LockMode::Shared => drop(runtime.block_on(handle.downgrade())),
            }
        })
    }

    fn fork_and_drop(&mut self, slot: Slot) -> Answer {
        if !matches!(self.slots.get(&slot), Some(Kept::Idle(_))) {
            return Answer::Unable("there is no idle handle".into());
        }
        let slots = &mut self.slots;
        children::run_in_child(|| drop(slots.remove(&slot)))
    }

    /// Lets tasks that the backend has spawned run, as they would in a running program.
    fn let_tasks_run(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }
}

fn script_failed(error: &io::Error) -> Answer {
    match Misstep::of(error) {
        None => Answer::failed(error),
        Some(misstep) => Answer::Outcome(ScriptOutcome::Broken {
            law: misstep.law(),
            what: format!("a handle {misstep}"),
            trace: Vec::new(),
        }),
    }
}

fn yes_or_no(answer: io::Result<bool>) -> Answer {
    match answer {
        Ok(true) => Answer::Yes,
        Ok(false) => Answer::No,
        Err(error) => Answer::failed(&error),
    }
}

fn attempted(attempt: io::Result<Attempt>) -> Answer {
    match attempt {
        Ok(Attempt::Acquired) => Answer::Acquired,
        Ok(Attempt::WouldBlock) => Answer::WouldBlock,
        Err(error) => Answer::failed(&error),
    }
}

/// Polls once, and then for this time.
async fn poll_for<F>(time: Duration, mut future: Pin<&mut F>) -> Option<F::Output>
where
    F: Future + ?Sized,
{
    match poll_once(future.as_mut()).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending if time.is_zero() => None,
        Poll::Pending => tokio::time::timeout(time, future).await.ok(),
    }
}
