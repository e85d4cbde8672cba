//! Tests of the registry: in loom's schedules where threads meet.

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
