//! The one acquisition loop.
//!
//! An acquisition takes its turn in the queue inside the process, takes an idle handle or opens one,
//! tries to lock and waits if it must, and checks that the path still names the locked file. Whatever
//! is dropped on the way releases what it has: first the handle, then the turn in the queue.

use std::io;
use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, Span, debug, debug_span};

use super::TouchFile;
use super::guard::{Guard, Held};
use super::wait::{Progress, supervise};
use crate::offload::OffloadHandle;
use crate::runtime::now_or_never;
use crate::{Attempt, Error, LockBackend, LockMode, Operation, Result};

/// How often an acquisition starts over because the file was replaced. A file that is removed on
/// release is replaced at every release, so many rounds are ordinary; this many in a row are not.
const MAX_REPLACED: u32 = 1_000;

/// How an acquisition waits.
#[derive(Clone, Copy)]
struct Wait<'a> {
    /// It does not overtake those who wait already.
    fair: bool,
    progress: &'a Progress,
}

/// Waits for the lock.
pub(super) async fn lock<T, B>(
    touch: T,
    mode: LockMode,
    timeout: Option<Duration>,
) -> Result<Guard<T, B>>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    let span = touch.begin(mode)?;
    let progress = Progress::default();
    let fair = timeout.is_none_or(|timeout| !timeout.is_zero());
    let wait = Some(Wait {
        fair,
        progress: &progress,
    });
    // Pinned where it is made: it is large, and would be copied at each `await` around it.
    let held = if timeout.is_none() && touch.on_wait.is_none() {
        pin!(touch.acquire(mode, wait).instrument(span)).await?
    } else {
        let acquisition = touch.acquire_supervised(mode, timeout, wait);
        pin!(acquisition.instrument(span)).await?
    };
    let held = held.expect("an acquisition that waits returns with the lock or an error");
    Ok(Guard::new(touch, held, mode))
}

/// Takes the lock if nobody has it or is queued for it in this process.
pub(super) async fn try_lock<T, B>(touch: T, mode: LockMode) -> Result<Option<Guard<T, B>>>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    let span = touch.begin(mode)?;
    let held = touch.acquire(mode, None).instrument(span).await?;
    Ok(held.map(|held| Guard::new(touch, held, mode)))
}

impl<B: LockBackend> TouchFile<B> {
    /// The span of an acquisition, unless the backend does not claim to lock in `mode`.
    fn begin(&self, mode: LockMode) -> Result<Span> {
        if mode == LockMode::Shared && !self.backend.capabilities().shared {
            let why = "it has exclusive locks only";
            let unclaimed = io::Error::new(io::ErrorKind::Unsupported, why);
            return Err(self.error(Operation::Lock(mode), unclaimed));
        }
        let (path, backend) = (self.path.display(), self.backend.name());
        Ok(debug_span!(target: "touchfile", "acquire", %path, backend, %mode))
    }

    /// [`acquire`](Self::acquire) under a deadline, or with somebody to report to.
    async fn acquire_supervised(
        &self,
        mode: LockMode,
        timeout: Option<Duration>,
        wait: Option<Wait<'_>>,
    ) -> Result<Option<Held<B>>> {
        let Some(Wait { progress, .. }) = wait else {
            return self.acquire(mode, None).await;
        };
        let done = {
            let acquisition = pin!(self.acquire(mode, wait));
            supervise(self, mode, timeout, progress, acquisition).await
        };
        // By now the acquisition has given back its turn in the queue.
        match done {
            // Those before it in the backend's order may have let the lock lie free.
            Err(error) if error.is_timeout() && progress.stands_behind.is_set() => {
                match now_or_never(pin!(self.acquire(mode, None))) {
                    Some(Ok(Some(held))) => Ok(Some(held)),
                    _ => Err(error),
                }
            }
            done => done,
        }
    }

    /// Takes the lock. Returns `None` only if somebody is in the way and this does not `wait`.
    async fn acquire(&self, mode: LockMode, wait: Option<Wait<'_>>) -> Result<Option<Held<B>>> {
        let mut contended = None;
        let permit = match self.queue.try_enter(mode) {
            Some(permit) => permit,
            None if wait.is_none() => return Ok(None),
            None => {
                note_contention(&mut contended, "this process");
                self.queue.enter(mode).await
            }
        };
        if let Some(wait) = wait {
            wait.progress.has_turn.set(true);
        }
        let check_failed = |error| self.error(Operation::CheckIdentity, error);
        for _ in 0..MAX_REPLACED {
            let mut handle = match self.idle.take() {
                Some(idle) => idle,
                None => self.open_handle(wait).await?,
            };
            let attempt = match wait {
                Some(wait) => {
                    wait.progress.asking.set(handle.is_offloaded());
                    if wait.fair {
                        handle.try_lock_fair(mode).await
                    } else {
                        handle.try_lock(mode).await
                    }
                }
                None => handle.try_lock(mode).await,
            };
            let attempt = match attempt {
                Err(error) if is_stale(&error) => {
                    self.start_over(handle).await;
                    continue;
                }
                attempt => attempt.map_err(|error| self.error(Operation::Lock(mode), error))?,
            };
            // A holder of a file that the path no longer names is in nobody's way.
            let mut current =
                !self.verify || handle.is_current(&self.path).await.map_err(check_failed)?;
            if current && attempt == Attempt::WouldBlock {
                let Some(Wait { progress, .. }) = wait else {
                    self.keep_idle(handle);
                    return Ok(None);
                };
                note_contention(&mut contended, "another holder");
                progress.asking.set(false);
                progress.stands_behind.set(!handle.is_offloaded());
                let path = self.verify.then_some(self.path());
                // Boxed, so that thousands who queue in this process do not carry it with them.
                current = match Box::pin(handle.lock(mode, path)).await {
                    Ok(()) => {
                        !self.verify || handle.is_current(&self.path).await.map_err(check_failed)?
                    }
                    Err(error) if is_stale(&error) => false,
                    Err(error) => return Err(self.error(Operation::Lock(mode), error)),
                };
            }
            if current {
                let waited = contended
                    .map(|since: Instant| since.elapsed())
                    .unwrap_or_default();
                debug!(target: "touchfile", ?waited, "acquired");
                return Ok(Some(Held { handle, permit }));
            }
            self.start_over(handle).await;
        }
        Err(self.replaced())
    }

    async fn open_handle(&self, wait: Option<Wait<'_>>) -> Result<OffloadHandle<B::Handle>> {
        let may_block = self.backend.open_may_block(&self.path, &self.options);
        if let Some(wait) = wait {
            wait.progress.asking.set(may_block);
        }
        OffloadHandle::open(&self.backend, &self.path, &self.options, may_block)
            .await
            .map_err(|error| self.error(Operation::Open, error))
    }

    /// Gives up a lock on a file that the path no longer names.
    async fn start_over(&self, stale: OffloadHandle<B::Handle>) {
        drop(stale);
        self.idle.clear();
        debug!(target: "touchfile", "replaced");
        // A file that is replaced over and over must not keep the runtime from its other tasks.
        tokio::task::yield_now().await;
    }

    fn replaced(&self) -> Error {
        Error::Replaced {
            path: self.path.clone(),
            times: MAX_REPLACED,
        }
    }
}

/// Whether a handle says that its path names another file by now. A server of NFS says the same of
/// a file that another host has removed.
fn is_stale(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StaleNetworkFileHandle
}

fn note_contention(contended: &mut Option<Instant>, by: &'static str) {
    if contended.is_none() {
        *contended = Some(Instant::now());
        debug!(target: "touchfile", by, "contended");
    }
}
