//! Handles that keep off the runtime's threads where their calls may block.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::warn;

use super::blocking::block_on;
use crate::backoff::Backoff;
use crate::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

/// A handle whose calls, and whose drop, run on a thread of their own if they may block.
///
/// A call on a stalled network file system can take for ever. Its thread then stays behind with
/// the handle, and lets go of whatever it may have got when the call returns; the caller is free
/// to give up. It is a plain thread, not one of the runtime's, so that shutting down the runtime
/// does not wait for it either.
#[derive(Debug)]
pub(super) struct PoliteHandle<H: LockHandle> {
    /// Missing while a call has it, and for good if that call was given up.
    ///
    /// Boxed, because it is moved many times in each acquisition and made only now and then.
    handle: Option<Box<H>>,
    /// Where it comes back from a call that was given up and must not cost the lock.
    away: Option<oneshot::Receiver<Box<H>>>,
}

impl<H: LockHandle> PoliteHandle<H> {
    pub(super) fn new(handle: H) -> Self {
        Self {
            handle: Some(Box::new(handle)),
            away: None,
        }
    }

    #[inline]
    pub(super) async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        match self.inline() {
            Some(handle) => handle.try_lock(mode).await,
            None => {
                self.elsewhere(move |handle| block_on(handle.try_lock(mode)))
                    .await
            }
        }
    }

    /// Whether others are known to wait for it.
    #[inline]
    pub(super) fn others_wait(&mut self) -> bool {
        self.inline().is_some_and(|handle| handle.others_wait())
    }

    /// Waits until the lock is held, or until `path`, if it is given, turns out to name another
    /// file: that is an error of the kind [`io::ErrorKind::StaleNetworkFileHandle`].
    pub(super) async fn lock(&mut self, mode: LockMode, path: Option<&Path>) -> io::Result<()> {
        if let Some(handle) = self.inline() {
            return handle.lock(mode).await;
        }
        // A wait on another thread could not be called off: wait here, and only try there.
        let mut backoff = Backoff::new();
        while self.try_lock(mode).await? == Attempt::WouldBlock {
            backoff.pause().await;
            if let Some(path) = path
                && !self.is_current(path).await?
            {
                return Err(io::ErrorKind::StaleNetworkFileHandle.into());
            }
        }
        Ok(())
    }

    /// Releases the lock. The place in the queue is back in `permit` when this returns, and not
    /// free before the release is done, even if the future is dropped.
    pub(super) async fn unlock(
        &mut self,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> io::Result<()> {
        if let Some(handle) = self.inline() {
            return handle.unlock().await;
        }
        let place = permit.take();
        let unlock = move |handle: &mut H| Ok((block_on(handle.unlock()), place));
        let (done, place) = self.elsewhere(unlock).await?;
        *permit = place;
        done
    }

    #[inline]
    pub(super) async fn is_current(&mut self, path: &Path) -> io::Result<bool> {
        match self.inline() {
            Some(handle) => handle.is_current(path).await,
            None => {
                let path = path.to_owned();
                self.elsewhere(move |handle| block_on(handle.is_current(&path)))
                    .await
            }
        }
    }

    /// Releases without waiting for anything, and returns the handle if it can be used again.
    ///
    /// If the release goes on elsewhere, it takes the place in the queue with it.
    #[inline]
    pub(super) fn release_now(
        mut self,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> io::Result<Option<Self>> {
        if let Some(handle) = self.inline() {
            return match now_or_never(handle.unlock()) {
                Some(Ok(())) => Ok(Some(self)),
                Some(Err(error)) => Err(error),
                None => Ok(None),
            };
        }
        let (handle, away, place) = (self.handle.take(), self.away.take(), permit.take());
        drop_elsewhere((handle, away.map(ComesBack), place));
        Ok(None)
    }

    /// The handle, to look at. A call has it now and then.
    pub(super) fn peek(&self) -> Option<&H> {
        self.handle.as_deref()
    }

    /// The handle, if its calls may run right here.
    #[inline]
    pub(super) fn inline(&mut self) -> Option<&mut H> {
        self.handle
            .as_deref_mut()
            .filter(|handle| !handle.may_block())
    }

    async fn elsewhere<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut H) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        self.come_back().await?;
        let Some(mut handle) = self.handle.take() else {
            return Err(given_up());
        };
        let (send, receive) = oneshot::channel();
        spawn(move || {
            let done = call(&mut handle);
            // If nobody waits for it any more, the handle is dropped here, which releases.
            drop(send.send((handle, done)));
        })?;
        let (handle, done) = receive.await.map_err(|_| panicked())?;
        self.handle = Some(handle);
        done
    }

    /// [`elsewhere`](Self::elsewhere), for a call that must not cost the lock if it is given up:
    /// the handle comes back when the call returns, and whatever needs it next waits for that.
    pub(super) async fn elsewhere_and_back<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut H) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        self.come_back().await?;
        // The thread comes first: where there is none to be had, nothing has happened.
        let (give, given) = mpsc::channel::<Box<H>>();
        let (back, away) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        spawn(move || {
            if let Ok(mut handle) = given.recv() {
                let done = call(&mut handle);
                // If nobody waits for it any more, the handle is dropped here, which releases.
                drop(back.send(handle));
                drop(tell.send(done));
            }
        })?;
        let handle = self.handle.take().ok_or_else(given_up)?;
        self.away = Some(away);
        drop(give.send(handle));
        let done = told.await.map_err(|_| panicked());
        self.come_back().await?;
        done?
    }

    /// Waits for the handle if a call that was given up still has it.
    async fn come_back(&mut self) -> io::Result<()> {
        if let Some(away) = &mut self.away {
            let handle = away.await;
            self.away = None;
            self.handle = Some(handle.map_err(|_| panicked())?);
        }
        Ok(())
    }
}

impl<H: LockHandle> Drop for PoliteHandle<H> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take_if(|handle| handle.may_block()) {
            drop_elsewhere(handle);
        }
        if let Some(away) = self.away.take() {
            drop_elsewhere(ComesBack(away));
        }
    }
}

/// A handle that is on its way back. Dropping this waits for it, and drops it.
struct ComesBack<H>(oneshot::Receiver<Box<H>>);

impl<H> Drop for ComesBack<H> {
    fn drop(&mut self) {
        // Where no thread was to be had this may be a task, which must not wait. The call's own
        // thread drops the handle then.
        if Handle::try_current().is_err() {
            // `blocking_recv` needs to own the receiver.
            let (_, nobody) = oneshot::channel();
            drop(std::mem::replace(&mut self.0, nobody).blocking_recv());
        }
    }
}

fn given_up() -> io::Error {
    io::Error::other("an earlier call on this handle was given up")
}

fn panicked() -> io::Error {
    io::Error::other("the backend panicked in this call")
}

/// Drops on a thread of its own what may block its thread.
fn drop_elsewhere<T: Send + 'static>(what: T) {
    // Where there is no thread to be had the closure is dropped right here, with all that is in
    // it: late is better than never.
    if let Err(error) = spawn(move || drop(what)) {
        warn!(target: "touchfile", %error, "a handle was closed on its caller's thread");
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("touchfile-call".into())
        .spawn(work)
        .map(drop)
}

/// Removes the file at `path` if nobody holds its lock, as its exclusive holder.
pub(super) fn remove_if_free<B: LockBackend>(backend: &B, path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create = false;
    options.remove_on_release = true;
    let busy = || io::Error::new(io::ErrorKind::ResourceBusy, "somebody else holds it");
    now_or_never(async {
        let mut handle = PoliteHandle::new(backend.open(path, &options).await?);
        match handle.try_lock(LockMode::Exclusive).await? {
            Attempt::Acquired => handle.unlock(&mut None).await,
            Attempt::WouldBlock => Err(busy()),
        }
    })
    .unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
}

/// The output of a future that is ready at once, as those of backends on local files are.
#[inline]
fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
