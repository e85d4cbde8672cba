//! Handles whose calls may block are offloaded: each has a thread of its own.

mod removal;
mod thread;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

pub(crate) use removal::remove_if_free;
use thread::{HandleThread, panicked, spawn};

use crate::backoff::Backoff;
use crate::forward::BoxFuture;
use crate::platform::Platform;
use crate::queue::Permit;
use crate::runtime::{self, block_on, now_or_never};
use crate::trace::debug;
use crate::{Attempt, ConvertLock, LockBackend, LockHandle, LockMode, OpenFile, OpenOptions};

/// A handle of which each call is made right here, or on a thread of its own if its calls may block.
///
/// A call on a stalled network file system can take for ever. The caller is free to give up: the
/// thread stays behind, and lets go of whatever it may have got when the call returns. All calls
/// and the drop of one handle are on one thread, so a file system that hangs costs no more than
/// that. It is a plain thread, not one of the runtime's, so that shutting down the runtime does
/// not wait for it either.
#[derive(Debug)]
pub(crate) struct OffloadHandle<H: LockHandle>(Calls<H>);

/// Where the calls of a handle are made.
#[derive(Debug)]
enum Calls<H: LockHandle> {
    /// The handle is boxed, because it is moved many times in each acquisition and made only now
    /// and then.
    Inline(Box<H>),
    Offloaded(HandleThread<H>),
}

impl<H: LockHandle> OffloadHandle<H> {
    /// Opens a handle on `path`, or on `file` if it is given, on a thread of its own if that `may_block`.
    pub(crate) async fn open<B>(
        backend: &Arc<B>,
        path: &Path,
        options: &OpenOptions,
        file: Option<&OpenFile>,
        may_block: bool,
    ) -> io::Result<Self>
    where
        B: LockBackend<Handle = H>,
    {
        let platform = backend.platform();
        if !may_block {
            let handle = match file {
                Some(file) => backend.adopt(file)?,
                None => backend.open(path, options).await?,
            };
            return Self::new(handle, platform);
        }
        let (backend, path, options) = (backend.clone(), path.to_owned(), options.clone());
        let file = file.cloned();
        let (thread, commands) = HandleThread::new(platform);
        let (send, answer) = oneshot::channel();
        spawn(move || {
            let opened = match &file {
                Some(file) => backend.adopt(file),
                None => block_on(backend.open(&path, &options)),
            };
            drop((backend, file));
            match opened {
                // If nobody waits for it any more, the handle is dropped here.
                Ok(handle) if !handle.may_block() => {
                    drop(send.send(Ok(Calls::Inline(Box::new(handle)))));
                }
                Ok(handle) => {
                    let handle = Arc::new(handle);
                    let calls = Calls::Offloaded(thread.with(&handle));
                    if send.send(Ok(calls)).is_ok() {
                        thread::run(commands, handle);
                    }
                }
                Err(error) => drop(send.send(Err(error))),
            }
        })?;
        answer.await.map_err(|_| panicked())?.map(Self)
    }

    fn new(handle: H, platform: &'static dyn Platform) -> io::Result<Self> {
        if !handle.may_block() {
            return Ok(Self(Calls::Inline(Box::new(handle))));
        }
        let (thread, commands) = HandleThread::new(platform);
        let handle = Arc::new(handle);
        let thread = thread.with(&handle);
        spawn(move || thread::run(commands, handle))?;
        Ok(Self(Calls::Offloaded(thread)))
    }

    #[inline]
    pub(crate) fn try_lock(&mut self, mode: LockMode) -> BoxFuture<'_, io::Result<Attempt>> {
        match &mut self.0 {
            Calls::Inline(handle) => handle.try_lock(mode),
            Calls::Offloaded(thread) => {
                Box::pin(thread.call_mut(move |handle| block_on(handle.try_lock(mode))))
            }
        }
    }

    /// The attempt of a caller who will wait: it does not overtake those who wait already.
    #[inline]
    pub(crate) fn try_lock_fair(&mut self, mode: LockMode) -> BoxFuture<'_, io::Result<Attempt>> {
        match &mut self.0 {
            Calls::Inline(handle) => handle.try_lock_fair(mode),
            // A handle whose calls may block has no order among waiters: it is only tried.
            Calls::Offloaded(thread) => {
                Box::pin(thread.call_mut(move |handle| block_on(handle.try_lock(mode))))
            }
        }
    }

    /// Waits until the lock is held, or until `path`, if it is given, turns out to name another
    /// file: that is an error of the kind [`io::ErrorKind::StaleNetworkFileHandle`].
    pub(crate) async fn lock(&mut self, mode: LockMode, path: Option<&Path>) -> io::Result<()> {
        /// Each check of identity costs the server more than an attempt does.
        const CHECK_INTERVAL: Duration = Duration::from_millis(100);

        if let Calls::Inline(handle) = &mut self.0 {
            return handle.lock(mode).await;
        }
        // A wait on another thread could not be called off: wait here, and only try there.
        let mut backoff = Backoff::new();
        let mut checked = Instant::now();
        while self.try_lock(mode).await? == Attempt::WouldBlock {
            backoff.pause().await;
            if let Some(path) = path {
                if checked.elapsed() >= CHECK_INTERVAL {
                    if !self.is_current(path).await? {
                        return Err(io::ErrorKind::StaleNetworkFileHandle.into());
                    }
                    checked = Instant::now();
                }
            }
        }
        Ok(())
    }

    /// Releases the lock. The turn in the queue is back in `permit` when this returns, and not
    /// over before the release is done, even if the future is dropped.
    pub(crate) async fn unlock(&mut self, permit: &mut Option<Permit>) -> io::Result<()> {
        match &mut self.0 {
            Calls::Inline(handle) => handle.unlock().await,
            Calls::Offloaded(thread) => thread.unlock(permit).await,
        }
    }

    #[inline]
    pub(crate) fn is_current<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>> {
        match &self.0 {
            Calls::Inline(handle) => handle.is_current(path),
            Calls::Offloaded(thread) => {
                let path = path.to_owned();
                Box::pin(thread.call(move |handle| block_on(handle.is_current(&path))))
            }
        }
    }

    pub(crate) async fn is_lost(&self) -> io::Result<bool> {
        match &self.0 {
            Calls::Inline(handle) => handle.is_lost().await,
            Calls::Offloaded(thread) => thread.call(|handle| block_on(handle.is_lost())).await,
        }
    }

    /// Returns when the lock is known to be lost.
    pub(crate) async fn lost(&self, interval: Duration) -> io::Result<()> {
        if let Calls::Inline(handle) = &self.0 {
            return handle.lost(interval).await;
        }
        // A wait on the other thread could not be called off.
        while !self.is_lost().await? {
            runtime::sleep(interval).await;
        }
        Ok(())
    }

    /// Releases without waiting for anything, and returns the handle if it can be used again.
    ///
    /// If the release goes on elsewhere, it takes the turn in the queue with it.
    #[inline]
    pub(crate) fn release_now(mut self, permit: &mut Option<Permit>) -> io::Result<Option<Self>> {
        let done = match &mut self.0 {
            // Its release takes a round trip, for which nobody can wait here.
            Calls::Inline(handle) if handle.drop_may_block() => {
                self.close(permit);
                return Ok(None);
            }
            Calls::Inline(handle) => now_or_never(pin!(handle.unlock())),
            Calls::Offloaded(thread) => {
                thread.close(permit);
                None
            }
        };
        match done {
            Some(Ok(())) => Ok(Some(self)),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }

    /// Drops the handle. If that goes on elsewhere, it takes the turn in the queue with it.
    pub(crate) fn close(self, permit: &mut Option<Permit>) {
        match self.0 {
            Calls::Inline(handle) if handle.drop_may_block() => drop_elsewhere(handle, permit),
            Calls::Inline(handle) => drop(handle),
            Calls::Offloaded(mut thread) => thread.close(permit),
        }
    }

    /// Drops the handle of an acquisition that does not go on. A call that is still made on another thread
    /// may take for ever: nobody waits for its end.
    #[inline]
    pub(crate) fn give_up(self, permit: &mut Option<Permit>) {
        match self.0 {
            Calls::Inline(handle) if handle.drop_may_block() => drop_elsewhere(handle, permit),
            calls => drop(calls),
        }
    }

    /// Whether who will wait calls `lock` at once.
    #[inline]
    pub(crate) fn queues(&self) -> bool {
        match &self.0 {
            Calls::Inline(handle) => handle.queues(),
            Calls::Offloaded(_) => false,
        }
    }

    /// The handle, to be read; `None` while a call that was given up has it.
    pub(crate) fn peek(&self) -> Option<&H> {
        match &self.0 {
            Calls::Inline(handle) => Some(handle),
            Calls::Offloaded(thread) => thread.peek(),
        }
    }

    pub(crate) fn is_offloaded(&self) -> bool {
        matches!(self.0, Calls::Offloaded(_))
    }

    /// Whether it can still be asked for anything: a thread does not follow into a forked child.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        match &self.0 {
            Calls::Inline(_) => true,
            Calls::Offloaded(thread) => thread.is_of_this_process(),
        }
    }
}

/// Given up or not, a conversion leaves the handle where it is, with its lock; the next call waits
/// for one that is still going on.
impl<H: ConvertLock> OffloadHandle<H> {
    pub(crate) async fn downgrade(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Calls::Inline(handle) => handle.downgrade().await,
            Calls::Offloaded(thread) => {
                thread.call_mut(|handle| block_on(handle.downgrade())).await
            }
        }
    }

    pub(crate) async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        match &mut self.0 {
            Calls::Inline(handle) => handle.try_upgrade().await,
            Calls::Offloaded(thread) => {
                thread
                    .call_mut(|handle| block_on(handle.try_upgrade()))
                    .await
            }
        }
    }
}

/// Drops a handle on a thread of its own, so as not to block that of a runtime. The turn in the queue is over
/// when that is done.
#[cold]
fn drop_elsewhere<H: LockHandle>(handle: Box<H>, permit: &mut Option<Permit>) {
    /// The order of the fields is that in which they are dropped.
    struct Dropping<H> {
        _handle: Box<H>,
        _permit: Option<Permit>,
    }

    let dropping = Dropping {
        _handle: handle,
        _permit: permit.take(),
    };
    if tokio::runtime::Handle::try_current().is_err() {
        return drop(dropping);
    }
    // Without a thread to be had, it is dropped here.
    if let Err(error) = spawn(move || drop(dropping)) {
        debug!(target: "touchfile", %error, "a runtime is blocked by a release");
    }
}
