//! Taking a permit.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::trace::{Instrument, Span, debug};

use super::Semaphore;
use crate::LockMode::Exclusive;
use crate::runtime::now_or_never;
use crate::touch_file::TouchFile;
use crate::touch_file::acquire::Wait;
use crate::touch_file::guard::{Guard, Held, OwnedLockGuard};
use crate::touch_file::sampler::HolderSampler;
use crate::touch_file::wait::{Progress, supervise};
use crate::{Error, LockBackend, Result};

impl<B: LockBackend> Semaphore<B> {
    /// Waits for a permit under a deadline, or with somebody to report to.
    pub(super) async fn acquire_at_most(
        &self,
        timeout: Option<Duration>,
    ) -> Result<OwnedLockGuard<B>> {
        let span = self.gate.begin(Exclusive)?;
        pin!(self.acquire_supervised(timeout).instrument(span)).await
    }

    async fn acquire_supervised(&self, timeout: Option<Duration>) -> Result<OwnedLockGuard<B>> {
        let progress = Progress::default();
        let one_attempt = timeout.is_some_and(|timeout| timeout.is_zero());
        let mut done = if one_attempt {
            // It takes its time where the file system does.
            progress.asking.set(true);
            progress.has_turn.set(true);
            let attempt = pin!(self.take_free_slot());
            let attempt = supervise(&self.gate, Exclusive, timeout, &progress, attempt).await;
            attempt.and_then(|taken| taken.ok_or_else(|| self.gave_up(Duration::ZERO)))
        } else {
            let acquisition = pin!(self.acquire_in_turn(&progress));
            supervise(&self.gate, Exclusive, timeout, &progress, acquisition).await
        };
        progress.has_ended.set(true);
        // By now the gate is free again, and those before this may have let a slot lie free.
        if done.as_ref().is_err_and(Error::is_timeout) && !one_attempt {
            if let Some(Ok(Some(permit))) = now_or_never(pin!(self.take_free_slot())) {
                return Ok(permit);
            }
        }
        if let Err(Error::Timeout { holders, .. }) = &mut done {
            if one_attempt {
                *holders = HolderSampler::new(&self.gate, Exclusive)
                    .sample_at_once()
                    .await;
            }
            debug!(target: "touchfile", "gave up");
        }
        done
    }

    pub(super) fn gave_up(&self, waited: Duration) -> Error {
        Error::Timeout {
            path: self.gate.path.clone(),
            mode: Exclusive,
            permits: self.gate.permits,
            waited,
            holders: Vec::new(),
            queued: false,
            recursive: false,
        }
    }

    /// Takes a permit when it is this one's turn.
    async fn acquire_in_turn(&self, progress: &Progress) -> Result<OwnedLockGuard<B>> {
        let gate = self
            .gate
            .acquire(Exclusive, Some(Wait::fair(progress)))
            .await?;
        let gate = gate.expect("an acquisition that waits returns with the lock or an error");
        // It is released when this returns or is dropped.
        let _gate = Guard::new(&self.gate, gate, Exclusive);
        match self.take_free_slot().await? {
            Some(permit) => Ok(permit),
            None => self.wait_for_any_slot().await,
        }
    }

    /// Takes the first slot that is free, if there is one.
    pub(super) async fn take_free_slot(&self) -> Result<Option<OwnedLockGuard<B>>> {
        for slot in &self.slots {
            let span = slot.begin(Exclusive)?;
            if let Some(held) = slot.acquire(Exclusive, None).instrument(span).await? {
                return Ok(Some(Guard::new(slot.clone(), held, Exclusive)));
            }
        }
        Ok(None)
    }

    /// Waits for all slots at once, and takes the one that is free first.
    async fn wait_for_any_slot(&self) -> Result<OwnedLockGuard<B>> {
        let progress = Progress::default();
        let mut waits = Vec::new();
        for slot in &self.slots {
            let span = slot.begin(Exclusive)?;
            waits.push(SlotWait::new(slot, &progress, span));
        }
        poll_fn(|cx| {
            for wait in &mut waits {
                if let Poll::Ready(done) = wait.acquisition.as_mut().poll(cx) {
                    let slot = wait.slot.clone();
                    let guard = |held| Guard::new(slot, held, Exclusive);
                    return Poll::Ready(done.map(guard));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A wait for one of the slots.
struct SlotWait<'a, B: LockBackend> {
    slot: &'a Arc<TouchFile<B>>,
    acquisition: Pin<Box<dyn Future<Output = Result<Held<B>>> + Send + 'a>>,
}

impl<'a, B: LockBackend> SlotWait<'a, B> {
    fn new(slot: &'a Arc<TouchFile<B>>, progress: &'a Progress, span: Span) -> Self {
        let acquisition = async {
            let held = slot.acquire(Exclusive, Some(Wait::fair(progress))).await?;
            Ok(held.expect("an acquisition that waits returns with the lock or an error"))
        };
        Self {
            slot,
            acquisition: Box::pin(acquisition.instrument(span)),
        }
    }
}
