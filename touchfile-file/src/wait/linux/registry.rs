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

/// What inotify calls a watched file.
pub(super) type WatchDescriptor = i32;

/// The number of a driver.
pub(super) type DriverId = u64;

/// What has happened.
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
        // The old one is swapped out, to be dropped where nothing is locked.
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
    // What was not read may have been for the waits of other runtimes.
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Weak};
    use std::task::Wake;

    use loom::sync::{Mutex as LoomMutex, Notify};
    use loom::thread;

    use super::*;

    impl Locked for LoomMutex<Registry> {
        fn with<R>(&self, f: impl FnOnce(&mut Registry) -> R) -> R {
            f(&mut self.lock().unwrap())
        }
    }

    /// A process with two runtimes, and the kernel below it.
    struct World {
        registry: LoomMutex<Registry>,
        kernel: LoomMutex<Kernel>,
    }

    /// One queue of events, and for each runtime what its reactor keeps of it.
    #[derive(Default)]
    struct Kernel {
        events: Vec<Event>,
        reactors: [Reactor; 2],
    }

    #[derive(Default)]
    struct Reactor {
        is_ready: bool,
        is_shut_down: bool,
        waker: Option<Waker>,
    }

    /// A driver, as its reactor calls it.
    struct Driver {
        id: DriverId,
        world: Weak<World>,
    }

    impl Driver {
        fn reactor<'a>(&self, kernel: &'a mut Kernel) -> &'a mut Reactor {
            &mut kernel.reactors[self.id as usize]
        }

        fn dispatch(self: &Arc<Self>) {
            let waker = Waker::from(self.clone());
            let mut cx = Context::from_waker(&waker);
            if let Some(world) = self.world.upgrade() {
                dispatch(&world.registry, self.id, self.as_ref(), &mut cx);
            }
        }
    }

    impl Wake for Driver {
        fn wake(self: Arc<Self>) {
            self.dispatch();
        }
    }

    impl Source for Driver {
        fn poll_events(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>> {
            let world = self.world.upgrade().unwrap();
            let mut kernel = world.kernel.lock().unwrap();
            let reactor = self.reactor(&mut kernel);
            if reactor.is_shut_down {
                return Poll::Ready(Err(io::ErrorKind::Other.into()));
            }
            if !std::mem::take(&mut reactor.is_ready) {
                reactor.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            // Another may have read them.
            Poll::Ready(Ok(std::mem::take(&mut kernel.events)))
        }

        fn close(&self) {
            let world = self.world.upgrade().unwrap();
            let mut kernel = world.kernel.lock().unwrap();
            self.reactor(&mut kernel).is_shut_down = true;
        }
    }

    struct Thread(Notify);

    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.notify();
        }
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                registry: LoomMutex::new(Registry::new()),
                kernel: LoomMutex::new(Kernel::default()),
            })
        }

        /// Changes what the kernel has, and has it call the reactors that this concerns.
        fn change(&self, change: impl FnOnce(&mut Kernel)) {
            let wakers = {
                let mut kernel = self.kernel.lock().unwrap();
                change(&mut kernel);
                let reactors = kernel.reactors.iter_mut();
                let called = reactors.filter(|reactor| reactor.is_ready || reactor.is_shut_down);
                called
                    .filter_map(|reactor| reactor.waker.take())
                    .collect::<Vec<_>>()
            };
            for waker in wakers {
                waker.wake();
            }
        }

        fn happen(&self, event: Event) {
            self.change(|kernel| {
                kernel.events.push(event);
                for reactor in &mut kernel.reactors {
                    reactor.is_ready = true;
                }
            });
        }

        fn driver(self: &Arc<Self>, id: DriverId) -> Arc<Driver> {
            Arc::new(Driver {
                id,
                world: Arc::downgrade(self),
            })
        }

        /// A wait for `file` at a driver that listens.
        fn add(self: &Arc<Self>, file: WatchDescriptor, driver: DriverId) -> WaiterId {
            let key = self.registry.with(|registry| registry.add(file, driver));
            self.driver(driver).dispatch();
            key
        }

        fn poll_with(&self, key: WaiterId, waker: &Waker) -> Poll<io::Result<()>> {
            poll(&self.registry, key, &mut Context::from_waker(waker))
        }

        /// Waits for ever if a wake-up is lost, which loom reports as a deadlock.
        fn wait(&self, key: WaiterId) -> io::Result<()> {
            let thread = Arc::new(Thread(Notify::new()));
            let waker = Waker::from(thread.clone());
            loop {
                if let Poll::Ready(told) = self.poll_with(key, &waker) {
                    drop(self.registry.with(|registry| registry.remove(key)));
                    return told;
                }
                thread.0.wait();
            }
        }

        /// The same, on a thread that is the reactor of `driver` too.
        fn wait_and_react(self: &Arc<Self>, key: WaiterId, driver: DriverId) {
            let thread = Arc::new(Thread(Notify::new()));
            let waker = Waker::from(thread.clone());
            let driver = self.driver(driver);
            while self.poll_with(key, &waker).is_pending() {
                dispatch(
                    &self.registry,
                    driver.id,
                    driver.as_ref(),
                    &mut Context::from_waker(&waker),
                );
                thread.0.wait();
            }
        }
    }

    fn model(test: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(test);
    }

    #[test]
    fn every_wait_of_a_driver_hears_of_its_file() {
        model(|| {
            let world = World::new();
            let waits = [world.add(1, 0), world.add(2, 0)].map(|key| {
                let world = world.clone();
                thread::spawn(move || world.wait(key))
            });
            world.happen(Event::At(1));
            world.happen(Event::At(2));
            for wait in waits {
                wait.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn a_wait_that_leaves_while_it_is_told_keeps_nothing_from_another() {
        model(|| {
            let world = World::new();
            let (gives_up, stays) = (world.add(1, 0), world.add(1, 0));
            let waits = {
                let world = world.clone();
                thread::spawn(move || world.wait(stays))
            };
            let leaves = {
                let world = world.clone();
                thread::spawn(move || {
                    // Whether something has happened is not of interest to who gives up.
                    drop(world.poll_with(gives_up, Waker::noop()));
                    drop(world.registry.with(|registry| registry.remove(gives_up)));
                })
            };
            world.happen(Event::At(1));
            waits.join().unwrap().unwrap();
            leaves.join().unwrap();
            assert!(!world.registry.with(|registry| registry.has(1)));
        });
    }

    #[test]
    fn a_wait_hears_of_what_another_runtime_reads() {
        model(|| {
            let world = World::new();
            let waits = [(1, 0), (2, 1)].map(|(file, driver)| {
                let key = world.registry.with(|registry| registry.add(file, driver));
                let world = world.clone();
                thread::spawn(move || world.wait_and_react(key, driver))
            });
            world.happen(Event::At(1));
            world.happen(Event::At(2));
            for wait in waits {
                wait.join().unwrap();
            }
        });
    }

    #[test]
    fn every_wait_of_a_runtime_hears_of_its_end() {
        model(|| {
            let world = World::new();
            let [one, other] = [world.add(1, 0), world.add(2, 0)].map(|key| {
                let world = world.clone();
                thread::spawn(move || world.wait(key))
            });
            let elsewhere = world.add(1, 1);
            world.change(|kernel| kernel.reactors[0].is_shut_down = true);
            for wait in [one, other] {
                wait.join().unwrap().unwrap_err();
            }
            assert!(world.poll_with(elsewhere, Waker::noop()).is_pending());
        });
    }

    #[test]
    fn who_comes_as_its_runtime_ends_hears_of_it() {
        model(|| {
            let world = World::new();
            let comes = {
                let world = world.clone();
                thread::spawn(move || world.wait(world.add(1, 0)))
            };
            world.change(|kernel| kernel.reactors[0].is_shut_down = true);
            comes.join().unwrap().unwrap_err();
        });
    }

    #[test]
    fn lost_events_and_vanished_files_wake_whom_they_may_concern() {
        let mut registry = Registry::new();
        let (one, other) = (registry.add(1, 0), registry.add(2, 0));
        let is_due = |registry: &mut Registry, key| registry.poll(key, &mut None).is_ready();
        drop(registry.notify(Event::Gone(1)));
        assert!(is_due(&mut registry, one) && !is_due(&mut registry, other));
        assert!(!registry.has(1), "what is gone is not unwatched again");
        drop(registry.notify(Event::Lost));
        assert!(is_due(&mut registry, one) && is_due(&mut registry, other));
    }

    #[test]
    fn a_wait_is_woken_where_it_was_polled_last() {
        struct Counts(AtomicUsize);

        impl Wake for Counts {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        let registry = Mutex::new(Registry::new());
        let key = registry.with(|registry| registry.add(1, 0));
        let counts = [(); 2].map(|()| Arc::new(Counts(AtomicUsize::new(0))));
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(poll(&registry, key, &mut Context::from_waker(&waker)).is_pending());
        }
        notify(&registry, vec![Event::At(1)]);
        let times = counts.map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(times, [0, 1]);
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_from_being_told() {
        struct Panics;

        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("as it should, in this test");
            }
        }

        let registry = Mutex::new(Registry::new());
        let keys = [1, 1].map(|file| registry.with(|registry| registry.add(file, 0)));
        for key in keys {
            let waker = Waker::from(Arc::new(Panics));
            assert!(poll(&registry, key, &mut Context::from_waker(&waker)).is_pending());
        }
        notify(&registry, vec![Event::At(1)]);
        for key in keys {
            assert!(poll(&registry, key, &mut Context::from_waker(Waker::noop())).is_ready());
        }
    }
}
