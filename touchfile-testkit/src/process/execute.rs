//! Inside a worker: handles and waits, and what is done with them.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use touchfile_core::{
    Attempt, BoxBackend, ConvertLock, LockBackend, LockHandle, LockMode, OpenOptions,
};

use super::{Answer, Command, Handle, Slot, children, scripts};

/// Executes commands, with one backend.
pub(crate) struct Executor {
    backend: BoxBackend,
    runtime: Runtime,
    slots: BTreeMap<Slot, Kept>,
    children: children::Children,
}

enum Kept {
    Idle(Handle),
    Waiting(Wait),
}

/// A `lock` future together with the handle it borrows, which comes back at its end.
struct Wait {
    future: Pin<Box<dyn Future<Output = (Handle, End)>>>,
    cancelled: Arc<AtomicBool>,
}

enum End {
    Cancelled,
    Failed(io::Error),
    Granted,
}

impl Executor {
    pub(crate) fn new(backend: BoxBackend) -> io::Result<Self> {
        Ok(Self {
            backend,
            // One thread, this one: a process of several cannot be forked safely.
            runtime: Builder::new_current_thread().enable_all().build()?,
            slots: BTreeMap::new(),
            children: children::Children::default(),
        })
    }

    /// Never panics, whatever the backend does. May never return, if the backend does not.
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
                    Err(error) => Answer::failed(&error),
                }
            }
            Command::Poll(slot, time) => self.poll(slot, time),
            Command::Reset => {
                self.children.end();
                // One by one, so that a panic leaves the others to the next reset.
                while let Some((_, kept)) = self.slots.pop_first() {
                    drop(kept);
                }
                Answer::Done
            }
            Command::Spawn => self.children.spawn(),
            Command::Start(slot, mode) => self.start(slot, mode),
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
        self.with(slot, async |handle| match handle.is_current(path).await {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            Err(error) => Answer::failed(&error),
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
        let polled = self.runtime.block_on(poll_for(time, wait.future.as_mut()));
        let Some((handle, end)) = polled else {
            return Answer::Pending;
        };
        self.slots.insert(slot, Kept::Idle(handle));
        match end {
            End::Cancelled => Answer::Done,
            End::Failed(error) => Answer::failed(&error),
            End::Granted => Answer::Acquired,
        }
    }

    fn cancel(&mut self, slot: Slot) -> Answer {
        if let Some(Kept::Waiting(wait)) = self.slots.get_mut(&slot) {
            wait.cancelled.store(true, Ordering::Relaxed);
        }
        self.poll(slot, Duration::ZERO)
    }

    fn fork_and_convert(&mut self, slot: Slot, mode: LockMode) -> Answer {
        let Some(Kept::Idle(handle)) = self.slots.get_mut(&slot) else {
            return Answer::Unable("there is no idle handle".into());
        };
        let runtime = &self.runtime;
        children::run_in_child(|| {
            // What it answers is not what matters.
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

    /// Lets tasks that a backend has spawned make progress, as they would in a running program.
    fn let_tasks_run(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }
}

impl Wait {
    fn new(mut handle: Handle, mode: LockMode) -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = cancelled.clone();
        let future = Box::pin(async move {
            let end = {
                let mut lock = pin!(handle.lock(mode));
                poll_fn(|cx| {
                    if flag.load(Ordering::Relaxed) {
                        return Poll::Ready(End::Cancelled);
                    }
                    lock.as_mut().poll(cx).map(|result| match result {
                        Ok(()) => End::Granted,
                        Err(error) => End::Failed(error),
                    })
                })
                .await
            };
            (handle, end)
        });
        Self { future, cancelled }
    }
}

fn attempted(attempt: io::Result<Attempt>) -> Answer {
    match attempt {
        Ok(Attempt::Acquired) => Answer::Acquired,
        Ok(Attempt::WouldBlock) => Answer::WouldBlock,
        Err(error) => Answer::failed(&error),
    }
}

/// Polls once, and then for as long as `time` says.
async fn poll_for<F: Future + Unpin>(time: Duration, mut future: F) -> Option<F::Output> {
    let once = poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    });
    match once.await {
        Some(output) => Some(output),
        None if time.is_zero() => None,
        None => tokio::time::timeout(time, future).await.ok(),
    }
}
