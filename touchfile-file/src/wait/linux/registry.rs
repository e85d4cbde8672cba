//! The waiter registry: who in this process waits for which file's events.
//!
//! All waits of a process share one inotify instance. Each runtime that has waits watches the instance
//! in its own reactor, through a *driver*, which is the waker that the reactor calls, and which reads the
//! events on the spot. Whichever driver reads an event, all waits that it concerns are woken, in
//! whichever runtime they are. So no wait depends on another one being polled, an event costs one
//! wake-up for each wait that it concerns, and no task or thread has to be kept for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The number of a wait.
pub(super) type WaiterId = u64;

/// The number by which inotify calls a watched file.
pub(super) type WatchDescriptor = i32;

/// The number of a driver.
pub(super) type DriverId = u64;

/// Something that happened to the watched files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Something happened to a file.
    At(WatchDescriptor),
    /// The watch on a file is gone, with the file.
    Gone(WatchDescriptor),
    /// Events were lost: anything may have happened.
    Lost,
}

/// Where a driver gets its events.
pub(super) trait Source {
    /// The events since the last call; pending means that the waker will be called.
    fn poll_events(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>>;

    /// Ends it, with whatever was not read.
    fn close(&self);
}

/// A registry behind a lock: std's, and in the test loom's.
pub(super) trait Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Registry) -> R) -> R;
}

impl Locked for Mutex<Registry> {
    fn with<R>(&self, f: impl FnOnce(&mut Registry) -> R) -> R {
        f(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All waits of a process.
#[derive(Debug)]
pub(super) struct Registry {
    /// In the order in which they came.
    waiters: BTreeMap<WaiterId, Waiter>,
    files: HashMap<WatchDescriptor, BTreeSet<WaiterId>>,
    next: WaiterId,
}

#[derive(Debug)]
struct Waiter {
    file: WatchDescriptor,
    driver: DriverId,
    waker: Option<Waker>,
    /// Something happened that this wait has not been told of.
    is_due: bool,
    /// Its driver reads nothing any more, for this reason.
    ended: Option<io::ErrorKind>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            waiters: BTreeMap::new(),
            files: HashMap::new(),
            next: 0,
        }
    }

    pub(super) fn add(&mut self, file: WatchDescriptor, driver: DriverId) -> WaiterId {
        let id = self.next;
        self.next += 1;
        self.files.entry(file).or_default().insert(id);
        let waiter = Waiter {
            file,
            driver,
            waker: None,
            is_due: false,
            ended: None,
        };
        self.waiters.insert(id, waiter);
        id
    }

    /// Ends a wait, and returns its waker, to be dropped where nothing is locked.
    pub(super) fn remove(&mut self, id: WaiterId) -> Option<Waker> {
        let waiter = self.waiters.remove(&id)?;
        if let Some(ids) = self.files.get_mut(&waiter.file) {
            ids.remove(&id);
            if ids.is_empty() {
                self.files.remove(&waiter.file);
            }
        }
        waiter.waker
    }

    /// Notes who is to be woken for `id`, if nothing is due already.
    fn poll(&mut self, id: WaiterId, waker: &mut Option<Waker>) -> Poll<io::Result<()>> {
        let Some(waiter) = self.waiters.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::NotFound.into()));
        };
        if let Some(kind) = waiter.ended {
            return Poll::Ready(Err(kind.into()));
        }
        if std::mem::take(&mut waiter.is_due) {
            return Poll::Ready(Ok(()));
        }
        // The old waker is swapped out, so that it is dropped while nothing is locked.
        std::mem::swap(&mut waiter.waker, waker);
        Poll::Pending
    }

    /// Makes `event` due for those whom it concerns, and returns whom to wake.
    fn notify(&mut self, event: Event) -> Vec<Waker> {
        let ids: Vec<WaiterId> = match event {
            Event::At(file) => self
                .files
                .get(&file)
                .into_iter()
                .flatten()
                .copied()
                .collect(),
            // The number is not used again soon, and nobody is to unwatch it.
            Event::Gone(file) => self.files.remove(&file).into_iter().flatten().collect(),
            Event::Lost => self.waiters.keys().copied().collect(),
        };
        let mut wakers = Vec::new();
        for id in ids {
            if let Some(waiter) = self.waiters.get_mut(&id) {
                waiter.is_due = true;
                wakers.extend(waiter.waker.take());
            }
        }
        wakers
    }

    /// Ends `driver` for all its waits, and returns whom to wake.
    fn end(&mut self, driver: DriverId, kind: io::ErrorKind) -> Vec<Waker> {
        let waiters = self.waiters.values_mut();
        waiters
            .filter(|waiter| waiter.driver == driver)
            .filter_map(|waiter| {
                waiter.ended = Some(kind);
                waiter.waker.take()
            })
            .collect()
    }

    /// Whether anybody waits for the events of `file`.
    pub(super) fn has(&self, file: WatchDescriptor) -> bool {
        self.files.contains_key(&file)
    }
}

/// Whether something has happened that concerns `id`.
///
/// It is an error if its driver reads nothing any more: [`io::ErrorKind::BrokenPipe`] if the runtime is
/// gone, [`io::ErrorKind::ResourceBusy`] if there were too many events.
pub(super) fn poll(
    registry: &impl Locked,
    id: WaiterId,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut waker = Some(cx.waker().clone());
    registry.with(|registry| registry.poll(id, &mut waker))
}

/// Notifies those who wait of all that `driver` can read, and has `cx` called when there is more.
///
/// It is the reactor that calls this, so it must come to an end however fast others make events:
/// anybody who may read a lock file can open and close it without a pause. A driver that cannot keep up
/// ends, and its waits do without events for a while.
pub(super) fn dispatch(
    registry: &impl Locked,
    driver: DriverId,
    source: &impl Source,
    cx: &mut Context<'_>,
) {
    for _ in 0..MAX_BATCHES {
        match source.poll_events(cx) {
            Poll::Pending => return,
            Poll::Ready(Ok(events)) => notify(registry, events),
            Poll::Ready(Err(_)) => {
                let wakers =
                    |registry: &mut Registry| registry.end(driver, io::ErrorKind::BrokenPipe);
                return wake(registry.with(wakers));
            }
        }
    }
    source.close();
    // Events that were not read may have been for the waits of other runtimes.
    notify(registry, vec![Event::Lost]);
    let wakers = |registry: &mut Registry| registry.end(driver, io::ErrorKind::ResourceBusy);
    wake(registry.with(wakers));
}

/// How often a driver reads before it lets its reactor go on: some two thousand events.
const MAX_BATCHES: usize = 8;

/// Wakes those whom `events` concern.
pub(super) fn notify(registry: &impl Locked, events: Vec<Event>) {
    for event in events {
        wake(registry.with(|registry| registry.notify(event)));
    }
}

/// Wakers may run anything, so they are called with nothing locked.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        // The panic hook has told of it. It must harm neither the reactor, which called us, nor
        // those who are still to be woken.
        drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
    }
}

#[cfg(test)]
mod tests;
