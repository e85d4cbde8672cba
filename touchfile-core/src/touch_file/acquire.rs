//! The one acquisition loop.
//!
//! An acquisition takes its turn in the queue inside the process, takes an idle handle or opens one,
//! tries to lock and waits if it must, and checks that the path still names the locked file. Whatever
//! is dropped on the way releases what it has: first the handle, then the turn in the queue.

use std::future::pending;
use std::io;
use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;

use crate::trace::{Instrument, Span, debug, debug_span, field, warn};
use tokio::time::Instant;

use super::TouchFile;
use super::guard::{Guard, Held};
use super::retry::Attempts;
use super::sampler::HolderSampler;
use super::wait::{Progress, supervise, warns_of_long_waits};
use crate::backend::is_stale;
use crate::offload::OffloadHandle;
use crate::queue::Permit;
use crate::runtime::now_or_never;
use crate::{Attempt, Error, Holder, LockBackend, LockMode, Operation, Result};

/// How often an acquisition starts over because the file was replaced. A file that is removed on
/// release is replaced at every release, so many rounds are ordinary; this many in a row are not.
pub(super) const MAX_REPLACED: u32 = 1_000;

/// How an acquisition waits.
#[derive(Clone, Copy)]
pub(super) struct Wait<'a> {
    /// It does not overtake those who wait already.
    fair: bool,
    /// Waiting for a lock that the same task or thread has taken is noticed.
    notices_recursion: bool,
    progress: &'a Progress,
}

impl<'a> Wait<'a> {
    /// A wait that does not overtake, of one who may have taken the same lock before.
    pub(super) fn fair(progress: &'a Progress) -> Self {
        Self {
            fair: true,
            notices_recursion: false,
            progress,
        }
    }
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
        notices_recursion: true,
        progress: &progress,
    });
    // Pinned where it is made: it is large, and would be copied at each `await` around it.
    let is_plain = timeout.is_none() && touch.on_wait.is_none() && touch.retry.is_none();
    let held = if is_plain && !warns_of_long_waits() {
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

/// Somebody is in the way of an acquisition that waits. Dropping this means that the wait was cancelled,
/// unless its progress says that it has ended.
struct Contention<'a, B: LockBackend> {
    touch: &'a TouchFile<B>,
    mode: LockMode,
    progress: &'a Progress,
    since: Instant,
}

impl<'a, B: LockBackend> Contention<'a, B> {
    #[cold]
    fn new(touch: &'a TouchFile<B>, mode: LockMode, progress: &'a Progress, by: &str) -> Self {
        debug!(target: "touchfile", by, "contended");
        Self {
            touch,
            mode,
            progress,
            since: Instant::now(),
        }
    }

    /// Ends with the lock, and returns for how long somebody was in the way.
    #[cold]
    fn end(self) -> Duration {
        self.progress.has_ended.set(true);
        self.since.elapsed()
    }
}

impl<B: LockBackend> Drop for Contention<'_, B> {
    fn drop(&mut self) {
        if !self.progress.has_ended.is_set() {
            let waited = self.since.elapsed();
            let holders = self.touch.sampled_in_words(self.mode, waited);
            let holders = holders.as_deref().map(field::display);
            debug!(target: "touchfile", ?waited, holders, "cancelled");
        }
    }
}

/// What an acquisition has so far. When it is dropped, the turn in the queue ends after the lock that the
/// handle may have got.
struct Trial<B: LockBackend> {
    handle: Option<OffloadHandle<B::Handle>>,
    permit: Option<Permit>,
}

impl<B: LockBackend> Trial<B> {
    #[inline]
    fn succeeds(&mut self) -> Option<Held<B>> {
        let (handle, permit) = (self.handle.take()?, self.permit.take()?);
        Some(Held { handle, permit })
    }

    /// Keeps the handle, which holds nothing, for the next acquisition.
    fn is_refused(&mut self, touch: &TouchFile<B>) {
        if let Some(handle) = self.handle.take() {
            touch.keep_idle(handle);
        }
    }
}

impl<B: LockBackend> Drop for Trial<B> {
    #[inline]
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.give_up(&mut self.permit);
        }
    }
}

impl<B: LockBackend> TouchFile<B> {
    /// The span of an acquisition, unless the backend does not claim to lock in `mode`.
    pub(super) fn begin(&self, mode: LockMode) -> Result<Span> {
        if mode == LockMode::Shared && !self.backend.capabilities().shared {
            let why = "it has exclusive locks only";
            let unclaimed = io::Error::new(io::ErrorKind::Unsupported, why);
            return Err(self.error(Operation::Lock(mode), unclaimed));
        }
        let (path, backend) = (self.path.display(), self.backend.name());
        Ok(debug_span!(target: "touchfile", "acquire", %path, backend, %mode))
    }

    /// Tells that the caller waits for itself, which is an error if the builder said so.
    #[cold]
    fn notice_recursion(&self, mode: LockMode, progress: &Progress) -> Result<()> {
        progress.is_recursive.set(true);
        if self.deny_recursion {
            progress.has_ended.set(true);
            return Err(Error::Deadlock {
                path: self.path.clone(),
                mode,
            });
        }
        warn!(
            target: "touchfile",
            "waiting for a lock that the same task or thread has taken and not released"
        );
        Ok(())
    }

    /// The error of an acquisition, which is traced.
    #[cold]
    fn failed(&self, operation: Operation, error: io::Error, wait: Option<Wait<'_>>) -> Error {
        if let Some(wait) = wait {
            wait.progress.has_ended.set(true);
        }
        let error = self.error(operation, error);
        debug!(target: "touchfile", %error, "failed");
        error
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
        let mut done = {
            let acquisition = pin!(self.acquire_retrying(mode, timeout, wait));
            let done = supervise(self, mode, timeout, progress, acquisition).await;
            progress.has_ended.set(true);
            done
        };
        // By now the acquisition has given back its turn in the queue. Those before it in the backend's
        // order may have let the lock lie free.
        if done.as_ref().is_err_and(Error::is_timeout) && progress.stands_behind.is_set() {
            if let Some(Ok(Some(held))) = now_or_never(pin!(self.acquire(mode, None))) {
                return Ok(Some(held));
            }
        }
        if let Err(Error::Timeout {
            waited, holders, ..
        }) = &mut done
        {
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                *holders = HolderSampler::new(self, mode).sample_at_once().await;
            }
            let holders = Holder::in_words(holders).map(field::display);
            debug!(target: "touchfile", ?waited, holders, "gave up");
        }
        done
    }

    /// [`acquire`](Self::acquire), again and again if the builder said so.
    async fn acquire_retrying(
        &self,
        mode: LockMode,
        timeout: Option<Duration>,
        wait: Option<Wait<'_>>,
    ) -> Result<Option<Held<B>>> {
        if self.retry.is_none() {
            return self.acquire(mode, wait).await;
        }
        let began = Instant::now();
        let mut attempts = Attempts::new(self.retry);
        loop {
            // Boxed, so that waits without a policy do not carry it with them.
            let error = match Box::pin(self.acquire(mode, wait)).await {
                Ok(held) => return Ok(held),
                Err(error) => error,
            };
            let left = timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
            attempts.failed_with(error, left).await?;
            if let Some(wait) = wait {
                wait.progress.start_over();
            }
        }
    }

    /// Takes the lock. Returns `None` only if somebody is in the way and this does not `wait`.
    pub(super) async fn acquire(
        &self,
        mode: LockMode,
        wait: Option<Wait<'_>>,
    ) -> Result<Option<Held<B>>> {
        let mut contention = None;
        let permit = match self.queue.try_enter(mode) {
            Some(permit) => permit,
            None => {
                let Some(wait) = wait else {
                    return Ok(None);
                };
                contention = Some(Contention::new(self, mode, wait.progress, "this process"));
                if wait.notices_recursion && self.latest_holder.is_caller() {
                    self.notice_recursion(mode, wait.progress)?;
                }
                self.queue.enter(mode).await
            }
        };
        if let Some(wait) = wait {
            wait.progress.has_turn.set(true);
        }
        let mut trial = Trial::<B> {
            handle: None,
            permit: Some(permit),
        };
        let check_failed = |error| self.failed(Operation::CheckIdentity, error, wait);
        for _ in 0..MAX_REPLACED {
            let opened = match self.idle.take() {
                Some(idle) => idle,
                None => self.open_handle(wait).await?,
            };
            let handle = trial.handle.insert(opened);
            let answers_later = handle.is_offloaded() || self.answers_later;
            // Who stands in line at once makes no attempt before.
            let attempt = match wait {
                Some(wait) if wait.fair && handle.queues() => Ok(None),
                Some(wait) => {
                    wait.progress.asking.set(answers_later);
                    if wait.fair {
                        handle.try_lock_fair(mode).await.map(Some)
                    } else {
                        handle.try_lock(mode).await.map(Some)
                    }
                }
                None => handle.try_lock(mode).await.map(Some),
            };
            let attempt = match attempt {
                Err(error) if is_stale(&error) && self.file.is_none() => {
                    self.start_over(trial.handle.take()).await;
                    continue;
                }
                attempt => {
                    attempt.map_err(|error| self.failed(Operation::Lock(mode), error, wait))?
                }
            };
            // A holder of a file that the path no longer names is in nobody's way.
            let mut current = attempt.is_none()
                || !self.verify
                || handle.is_current(&self.path).await.map_err(check_failed)?;
            if current && attempt != Some(Attempt::Acquired) {
                let Some(Wait { progress, .. }) = wait else {
                    trial.is_refused(self);
                    return Ok(None);
                };
                // Without an attempt it is not known whether somebody is in the way.
                if attempt.is_some() {
                    contention.get_or_insert_with(|| {
                        Contention::new(self, mode, progress, "another holder")
                    });
                }
                progress.asking.set(false);
                if self.answers_later && wait.is_some_and(|wait| !wait.fair) {
                    // The one attempt was answered; the timeout of zero ends this.
                    trial.is_refused(self);
                    return pending().await;
                }
                progress.stands_behind.set(!answers_later);
                let path = self.verify.then_some(self.path());
                // Boxed, so that thousands who queue in this process do not carry it with them.
                current = match Box::pin(handle.lock(mode, path)).await {
                    Ok(()) => {
                        !self.verify || handle.is_current(&self.path).await.map_err(check_failed)?
                    }
                    Err(error) if is_stale(&error) && self.file.is_none() => false,
                    Err(error) => return Err(self.failed(Operation::Lock(mode), error, wait)),
                };
            }
            if current {
                let waited = contention.map(Contention::end).unwrap_or_default();
                debug!(target: "touchfile", ?waited, "acquired");
                self.latest_holder.acquired();
                return Ok(trial.succeeds());
            }
            self.start_over(trial.handle.take()).await;
        }
        if let Some(wait) = wait {
            wait.progress.has_ended.set(true);
        }
        Err(Error::Replaced {
            path: self.path.clone(),
            times: MAX_REPLACED,
        })
    }

    pub(super) async fn open_handle(
        &self,
        wait: Option<Wait<'_>>,
    ) -> Result<OffloadHandle<B::Handle>> {
        let may_block = self.backend.open_may_block(&self.path, &self.options);
        if let Some(wait) = wait {
            wait.progress.asking.set(may_block || self.answers_later);
        }
        let file = self.file.as_ref();
        if file.is_some() && !self.process.is_current() {
            let why = "a forked child would share its parent's lock on an open file: open it anew";
            let refused = io::Error::new(io::ErrorKind::Unsupported, why);
            return Err(self.failed(Operation::Adopt, refused, wait));
        }
        OffloadHandle::open(&self.backend, &self.path, &self.options, file, may_block)
            .await
            .map_err(|error| {
                let operation = match file {
                    Some(_) => Operation::Adopt,
                    None => Operation::Open,
                };
                self.failed(operation, error, wait)
            })
    }

    /// Gives up a lock on a file that the path no longer names.
    async fn start_over(&self, stale: Option<OffloadHandle<B::Handle>>) {
        drop(stale);
        self.idle.clear();
        debug!(target: "touchfile", "replaced");
        // A file that is replaced over and over must not keep the runtime from its other tasks.
        tokio::task::yield_now().await;
    }
}
