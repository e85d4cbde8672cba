//! Handles that keep off the runtime's threads where their calls may block.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tracing::warn;

use super::acquire::EVERYBODY;
use crate::backoff::Backoff;
use crate::forward::BoxFuture;
use crate::platform::{Platform, Process};
use crate::runtime::{block_on, now_or_never};
use crate::{Attempt, ConvertLock, LockBackend, LockHandle, LockMode, OpenOptions};

/// How often a waiter on a handle that may block looks whether its path still names the file:
/// each look costs the server more than an attempt does.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A handle that lives right here, or on a thread of its own if its calls may block.
///
/// A call on a stalled network file system can take for ever. The caller is free to give up: the
/// thread stays behind, and lets go of whatever it may have got when the call returns. All calls
/// and the drop of one handle are on one thread, so a file system that hangs costs no more than
/// that. It is a plain thread, not one of the runtime's, so that shutting down the runtime does
/// not wait for it either.
#[derive(Debug)]
pub(super) struct PoliteHandle<H: LockHandle>(Place<H>);

#[derive(Debug)]
enum Place<H: LockHandle> {
    /// Boxed, because it is moved many times in each acquisition and made only now and then.
    Here(Box<H>),
    Elsewhere(Keeper<H>),
}

impl<H: LockHandle> PoliteHandle<H> {
    /// Opens a handle, elsewhere if that may block.
    pub(super) async fn open<B>(
        backend: &Arc<B>,
        path: &Path,
        options: &OpenOptions,
        elsewhere: bool,
    ) -> io::Result<Self>
    where
        B: LockBackend<Handle = H>,
    {
        let platform = backend.platform();
        if !elsewhere {
            return Self::new(backend.open(path, options).await?, platform);
        }
        let (backend, path, options) = (backend.clone(), path.to_owned(), options.clone());
        let (keeper, orders) = Keeper::new(platform);
        let (tell, told) = oneshot::channel();
        spawn(move || {
            let opened = block_on(backend.open(&path, &options));
            drop(backend);
            match opened {
                // If nobody waits for it any more, the handle is dropped here.
                Ok(handle) if !handle.may_block() => {
                    drop(tell.send(Ok(Place::Here(Box::new(handle)))));
                }
                Ok(handle) => {
                    let handle = Arc::new(handle);
                    if tell
                        .send(Ok(Place::Elsewhere(keeper.with(&handle))))
                        .is_ok()
                    {
                        keep(orders, handle);
                    }
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        told.await.map_err(|_| panicked())?.map(Self)
    }

    fn new(handle: H, platform: &'static dyn Platform) -> io::Result<Self> {
        if !handle.may_block() {
            return Ok(Self(Place::Here(Box::new(handle))));
        }
        let (keeper, orders) = Keeper::new(platform);
        let handle = Arc::new(handle);
        let keeper = keeper.with(&handle);
        spawn(move || keep(orders, handle))?;
        Ok(Self(Place::Elsewhere(keeper)))
    }

    #[inline]
    pub(super) fn try_lock(&mut self, mode: LockMode) -> BoxFuture<'_, io::Result<Attempt>> {
        match &mut self.0 {
            Place::Here(handle) => handle.try_lock(mode),
            Place::Elsewhere(keeper) => {
                Box::pin(keeper.call_mut(move |handle| block_on(handle.try_lock(mode))))
            }
        }
    }

    /// The attempt of a caller who will wait: it does not overtake those who wait already.
    #[inline]
    pub(super) fn try_lock_fair(&mut self, mode: LockMode) -> BoxFuture<'_, io::Result<Attempt>> {
        match &mut self.0 {
            Place::Here(handle) => handle.try_lock_fair(mode),
            // A handle whose calls may block has no order among waiters: it is only tried.
            Place::Elsewhere(keeper) => {
                Box::pin(keeper.call_mut(move |handle| block_on(handle.try_lock(mode))))
            }
        }
    }

    /// Waits until the lock is held, or until `path`, if it is given, turns out to name another
    /// file: that is an error of the kind [`io::ErrorKind::StaleNetworkFileHandle`].
    pub(super) async fn lock(&mut self, mode: LockMode, path: Option<&Path>) -> io::Result<()> {
        if let Place::Here(handle) = &mut self.0 {
            return handle.lock(mode).await;
        }
        // A wait on another thread could not be called off: wait here, and only try there.
        let mut backoff = Backoff::new();
        let mut looked = Instant::now();
        while self.try_lock(mode).await? == Attempt::WouldBlock {
            backoff.pause().await;
            if let Some(path) = path
                && looked.elapsed() >= LOOK_EVERY
            {
                if !self.is_current(path).await? {
                    return Err(io::ErrorKind::StaleNetworkFileHandle.into());
                }
                looked = Instant::now();
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
        match &mut self.0 {
            Place::Here(handle) => handle.unlock().await,
            // The lock is the parent's.
            Place::Elsewhere(keeper) if !keeper.process.is_current() => Ok(()),
            Place::Elsewhere(keeper) => {
                let (tell, told) = oneshot::channel();
                let look = keeper.look.take();
                keeper.order(Order::Unlock(look, permit.take(), tell))?;
                let (look, place, done) = told.await.map_err(|_| panicked())?;
                (keeper.look, *permit) = (Some(look), place);
                done
            }
        }
    }

    #[inline]
    pub(super) fn is_current<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>> {
        match &self.0 {
            Place::Here(handle) => handle.is_current(path),
            Place::Elsewhere(keeper) => {
                let path = path.to_owned();
                Box::pin(keeper.call(move |handle| block_on(handle.is_current(&path))))
            }
        }
    }

    pub(super) async fn is_lost(&self) -> io::Result<bool> {
        match &self.0 {
            Place::Here(handle) => handle.is_lost().await,
            Place::Elsewhere(keeper) => keeper.call(|handle| block_on(handle.is_lost())).await,
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
        let done = match &mut self.0 {
            Place::Here(handle) => now_or_never(pin!(handle.unlock())),
            Place::Elsewhere(keeper) => {
                keeper.close(permit);
                None
            }
        };
        match done {
            Some(Ok(())) => Ok(Some(self)),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }

    /// Drops the handle. If that goes on elsewhere, it takes the place in the queue with it.
    pub(super) fn close(self, permit: &mut Option<OwnedSemaphorePermit>) {
        if let Place::Elsewhere(mut keeper) = self.0 {
            keeper.close(permit);
        }
    }

    /// The handle, to look at; `None` while a call that was given up has it.
    pub(super) fn peek(&self) -> Option<&H> {
        match &self.0 {
            Place::Here(handle) => Some(handle),
            Place::Elsewhere(keeper) => keeper.look.as_deref(),
        }
    }

    /// Whether its calls are made on another thread.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.0, Place::Elsewhere(_))
    }

    /// Whether it can still be asked for anything: a thread does not follow into a forked child.
    #[inline]
    pub(super) fn is_usable(&self) -> bool {
        match &self.0 {
            Place::Here(_) => true,
            Place::Elsewhere(keeper) => keeper.process.is_current(),
        }
    }
}

/// Given up or not, a conversion leaves the handle where it is, with its lock; the next call waits
/// for one that is still going on.
impl<H: ConvertLock> PoliteHandle<H> {
    pub(super) async fn downgrade(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Place::Here(handle) => handle.downgrade().await,
            Place::Elsewhere(keeper) => {
                keeper.call_mut(|handle| block_on(handle.downgrade())).await
            }
        }
    }

    pub(super) async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        match &mut self.0 {
            Place::Here(handle) => handle.try_upgrade().await,
            Place::Elsewhere(keeper) => {
                keeper
                    .call_mut(|handle| block_on(handle.try_upgrade()))
                    .await
            }
        }
    }
}

/// A thread that has a handle: it makes its calls, one after the other, and in the end drops it.
#[derive(Debug)]
struct Keeper<H: LockHandle> {
    /// Whoever sends nothing more has dropped the handle.
    orders: mpsc::Sender<Order<H>>,
    /// To look at the handle while no call needs it for itself. It goes back to the thread before
    /// such a call and at the end, so that it is never the last.
    look: Option<Arc<H>>,
    process: Process,
}

type Call<H> = Box<dyn FnOnce(&mut Arc<H>) + Send>;

enum Order<H> {
    Call(Call<H>),
    /// The end; only then is the place in the queue free.
    Close(Option<Arc<H>>, Option<OwnedSemaphorePermit>),
    /// Carried out whether or not somebody still waits for it, unlike other calls.
    Unlock(
        Option<Arc<H>>,
        Option<OwnedSemaphorePermit>,
        oneshot::Sender<Unlocked<H>>,
    ),
}

type Unlocked<H> = (Arc<H>, Option<OwnedSemaphorePermit>, io::Result<()>);

impl<H: LockHandle> Keeper<H> {
    fn new(platform: &'static dyn Platform) -> (Self, mpsc::Receiver<Order<H>>) {
        let (orders, received) = mpsc::channel();
        let keeper = Self {
            orders,
            look: None,
            process: Process::current(platform),
        };
        (keeper, received)
    }

    fn with(mut self, handle: &Arc<H>) -> Self {
        self.look = Some(handle.clone());
        self
    }

    /// Makes a call there that only looks at the handle.
    async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&H) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let (tell, told) = oneshot::channel();
        self.order(Order::Call(Box::new(move |handle| {
            // What nobody waits for any more need not be begun.
            if !tell.is_closed() {
                drop(tell.send(call(handle)));
            }
        })))?;
        told.await.map_err(|_| panicked())?
    }

    /// Makes a call there that may change what the handle holds. If the future is dropped, the call
    /// may still be made, and its result is lost; the handle stays where it is, as it is then.
    async fn call_mut<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut H) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let (tell, told) = oneshot::channel();
        let look = self.look.take();
        self.order(Order::Call(Box::new(move |handle| {
            drop(look);
            if !tell.is_closed() {
                let done = call(alone(handle));
                drop(tell.send((handle.clone(), done)));
            }
        })))?;
        let (look, done) = told.await.map_err(|_| panicked())?;
        self.look = Some(look);
        done
    }

    fn close(&mut self, permit: &mut Option<OwnedSemaphorePermit>) {
        // In a forked child there is nobody to close it, nor to give back the place.
        if self.process.is_current() {
            // If the thread is gone, so is the handle.
            drop(
                self.orders
                    .send(Order::Close(self.look.take(), permit.take())),
            );
        }
    }

    fn order(&self, order: Order<H>) -> io::Result<()> {
        if !self.process.is_current() {
            return Err(io::Error::other(
                "the thread that has this handle stayed in the process that forked this one",
            ));
        }
        self.orders.send(order).map_err(|_| panicked())
    }
}

impl<H: LockHandle> Drop for Keeper<H> {
    fn drop(&mut self) {
        self.close(&mut None); // in vain, if it was closed before
    }
}

/// What the thread does, until it is told to close the handle.
///
/// The order of the parameters is that in which a panic drops them: the handle first.
fn keep<H: LockHandle>(orders: mpsc::Receiver<Order<H>>, mut handle: Arc<H>) {
    let mut places = Vec::new();
    while let Ok(order) = orders.recv() {
        match order {
            Order::Call(call) => call(&mut handle),
            Order::Close(look, place) => {
                drop(look);
                places.extend(place);
                break;
            }
            Order::Unlock(look, place, tell) => {
                drop(look);
                let done = block_on(alone(&mut handle).unlock());
                if let Err((_, place, _)) = tell.send((handle.clone(), place, done)) {
                    places.extend(place);
                }
            }
        }
    }
    drop(handle); // which releases
    drop(places);
}

/// The handle for itself.
fn alone<H>(handle: &mut Arc<H>) -> &mut H {
    Arc::get_mut(handle).expect("whoever may look at it has let go before such a call")
}

fn panicked() -> io::Error {
    io::Error::other("the backend panicked in this call")
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("touchfile-call".into())
        .spawn(work)
        .map(drop)
}

/// Removes the file at `path` if nobody holds its lock, as its exclusive holder.
///
/// Right here, or if anything about it may block, on a thread that sees it through.
pub(super) fn remove_if_free<B: LockBackend>(
    backend: &Arc<B>,
    path: &Path,
    queue: &Arc<Semaphore>,
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create = false;
    options.remove_on_release = true;
    let (backend, path, queue) = (backend.clone(), path.to_owned(), queue.clone());
    let busy = || io::Error::new(io::ErrorKind::ResourceBusy, "somebody else holds it");
    let mut removal = Box::pin(async move {
        // A release of our own may still be going on elsewhere.
        let _place = queue.acquire_many_owned(EVERYBODY).await;
        if backend.open_may_block(&path, &options) {
            tokio::task::yield_now().await; // not here
        }
        let mut handle = backend.open(&path, &options).await?;
        if handle.may_block() {
            tokio::task::yield_now().await;
        }
        match handle.try_lock(LockMode::Exclusive).await? {
            Attempt::Acquired => handle.unlock().await,
            Attempt::WouldBlock => Err(busy()),
        }
    });
    if let Some(done) = now_or_never(removal.as_mut()) {
        return done;
    }
    spawn(move || {
        if let Err(error) = block_on(removal) {
            warn!(target: "touchfile", %error, "a temporary lock file stays");
        }
    })
}
