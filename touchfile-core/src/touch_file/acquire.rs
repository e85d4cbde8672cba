//! The one acquisition loop.
//!
//! Queue inside the process → idle or new handle → try, else wait → does the path still name the
//! file? → guard. Whatever is dropped on the way releases what it has: first the handle, then the
//! place in the queue.

use std::io;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::{Instrument, Span, debug, debug_span};

use super::TouchFile;
use super::guard::Guard;
use super::polite::PoliteHandle;
use super::wait::supervise;
use crate::runtime::now_or_never;
use crate::{Attempt, Error, LockBackend, LockMode, Operation, Result};

/// The permits of the in-process queue; as many as tokio's `RwLock` has.
pub(super) const EVERYBODY: u32 = u32::MAX >> 3;

/// How often an acquisition starts over because the file was replaced. Files removed on release
/// are replaced at every release, so many rounds are ordinary; this many in a row are not.
const MAX_REPLACED: u32 = 1_000;

/// A lock that is held and not in a guard yet. The handle goes before the place in the queue.
pub(super) struct Held<B: LockBackend> {
    pub(super) handle: PoliteHandle<B::Handle>,
    pub(super) permit: OwnedSemaphorePermit,
}

/// What an acquisition tells whoever bounds it.
#[derive(Debug, Default)]
struct Progress {
    /// Set while the first attempt is made on another thread, which takes its time whether or not
    /// the lock is free.
    asking: AtomicBool,
    /// Set once the wait stands behind others, who may not take their turn.
    queued: AtomicBool,
}

impl Progress {
    fn is_asking(&self, asking: bool) {
        self.asking.store(asking, Ordering::Relaxed);
    }
}

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
    touch.refuse_unclaimed(mode)?;
    let span = touch.span(mode);
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
    touch.refuse_unclaimed(mode)?;
    let span = touch.span(mode);
    let held = touch.acquire(mode, None).instrument(span).await?;
    Ok(held.map(|held| Guard::new(touch, held, mode)))
}

/// How many permits a holder takes.
pub(super) const fn permits(mode: LockMode) -> u32 {
    match mode {
        LockMode::Exclusive => EVERYBODY,
        LockMode::Shared => 1,
    }
}

impl<B: LockBackend> TouchFile<B> {
    fn refuse_unclaimed(&self, mode: LockMode) -> Result<()> {
        if mode == LockMode::Exclusive || self.backend.capabilities().shared {
            return Ok(());
        }
        let unclaimed = io::Error::new(io::ErrorKind::Unsupported, "it has exclusive locks only");
        Err(self.error(Operation::Lock(mode), unclaimed))
    }

    fn span(&self, mode: LockMode) -> Span {
        let (path, backend) = (self.path.display(), self.backend.name());
        debug_span!(target: "touchfile", "acquire", %path, backend, %mode)
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
            supervise(self, mode, timeout, &progress.asking, acquisition).await
        };
        // By now the acquisition has given back its place in the queue.
        match done {
            // Perhaps those before it did not take their turn.
            Err(error) if error.is_timeout() && progress.queued.load(Ordering::Relaxed) => {
                match now_or_never(pin!(self.acquire(mode, None))) {
                    Some(Ok(Some(held))) => Ok(Some(held)),
                    _ => Err(error),
                }
            }
            done => done,
        }
    }

    /// Takes the lock, and returns `None` only if somebody is in the way and this does not `wait`.
    async fn acquire(&self, mode: LockMode, wait: Option<Wait<'_>>) -> Result<Option<Held<B>>> {
        let mut contended = None;
        let permit = match self.queue.clone().try_acquire_many_owned(permits(mode)) {
            Ok(permit) => permit,
            Err(_) if wait.is_none() => return Ok(None),
            Err(_) => {
                note_contention(&mut contended, "this process");
                let queued = self.queue.clone().acquire_many_owned(permits(mode));
                queued.await.expect("the queue is never closed")
            }
        };
        for _ in 0..MAX_REPLACED {
            let mut handle = match self.take_idle() {
                Some(idle) => idle,
                None => self.open_handle(wait).await?,
            };
            let attempt = match wait {
                Some(wait) => {
                    wait.progress.is_asking(handle.is_elsewhere());
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
            let mut current = self.is_current(&handle).await?;
            if current && attempt == Attempt::WouldBlock {
                let Some(Wait { progress, .. }) = wait else {
                    self.put_idle(handle);
                    return Ok(None);
                };
                note_contention(&mut contended, "another holder");
                progress.is_asking(false);
                progress
                    .queued
                    .store(!handle.is_elsewhere(), Ordering::Relaxed);
                let path = self.verify.then_some(self.path());
                // Boxed, so that thousands who queue in this process do not carry it with them.
                current = match Box::pin(handle.lock(mode, path)).await {
                    Ok(()) => self.is_current(&handle).await?,
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

    async fn open_handle(&self, wait: Option<Wait<'_>>) -> Result<PoliteHandle<B::Handle>> {
        let elsewhere = self.backend.open_may_block(&self.path, &self.options);
        if let Some(wait) = wait {
            wait.progress.is_asking(elsewhere);
        }
        PoliteHandle::open(&self.backend, &self.path, &self.options, elsewhere)
            .await
            .map_err(|error| self.error(Operation::Open, error))
    }

    async fn is_current(&self, handle: &PoliteHandle<B::Handle>) -> Result<bool> {
        if !self.verify {
            return Ok(true);
        }
        let current = handle.is_current(&self.path).await;
        current.map_err(|error| self.error(Operation::CheckIdentity, error))
    }

    /// Gives up a lock on a file that the path no longer names.
    async fn start_over(&self, stale: PoliteHandle<B::Handle>) {
        drop(stale);
        self.clear_idle();
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

    pub(super) fn error(&self, operation: Operation, source: io::Error) -> Error {
        Error::from_io(&*self.backend, &self.path, operation, source)
    }
}

/// Whether a handle says that its path names another file by now. A server of NFS says so too, of a
/// file that another host has removed.
fn is_stale(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StaleNetworkFileHandle
}

fn note_contention(contended: &mut Option<Instant>, by: &'static str) {
    if contended.is_none() {
        *contended = Some(Instant::now());
        debug!(target: "touchfile", by, "contended");
    }
}
