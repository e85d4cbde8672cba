//! Who in this process waits for which file's events.
//!
//! All waits of a process share one inotify instance. Each runtime that has waits watches it in
//! its own reactor, through a *station*, which the reactor calls and which reads the events, at
//! once and on the spot. Whichever station reads an event, all waits that it concerns are woken, of
//! whichever station they are. So no wait depends on another being polled, an event costs one
//! wake-up for each wait it concerns, and no task or thread has to be kept for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A wait.
pub(super) type Key = u64;

/// What inotify calls a watch descriptor: a watched file.
pub(super) type Watched = i32;

/// The number of a station.
pub(super) type Number = u64;

/// What has happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Something happened to a file.
    At(Watched),
    /// The watch on a file is gone, with the file.
    Gone(Watched),
    /// Events were lost: anything may have happened.
    Lost,
}

/// Where a station gets its events.
pub(super) trait Source {
    /// The events since the last look; pending means that the waker will be called.
    fn poll_events(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>>;
}

/// A table behind a lock: std's, and in the test loom's.
pub(super) trait Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R;
}

impl Locked for Mutex<Table> {
    fn with<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
        f(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All waits of a process.
#[derive(Debug)]
pub(super) struct Table {
    /// In the order they came.
    waits: BTreeMap<Key, Wait>,
    files: HashMap<Watched, BTreeSet<Key>>,
    next: Key,
}

#[derive(Debug)]
struct Wait {
    file: Watched,
    station: Number,
    waker: Option<Waker>,
    /// Something happened that this wait has not been told of.
    due: bool,
    /// Its station hears nothing any more.
    ended: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            waits: BTreeMap::new(),
            files: HashMap::new(),
            next: 0,
        }
    }

    pub(super) fn add(&mut self, file: Watched, station: Number) -> Key {
        let key = self.next;
        self.next += 1;
        self.files.entry(file).or_default().insert(key);
        let wait = Wait {
            file,
            station,
            waker: None,
            due: false,
            ended: false,
        };
        self.waits.insert(key, wait);
        key
    }

    /// Ends a wait, and returns its waker, to be dropped where no lock is held.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        let wait = self.waits.remove(&key)?;
        if let Some(keys) = self.files.get_mut(&wait.file) {
            keys.remove(&key);
            if keys.is_empty() {
                self.files.remove(&wait.file);
            }
        }
        wait.waker
    }

    /// Notes who is to be woken for `key`, if nothing is due already.
    fn poll(&mut self, key: Key, waker: &mut Option<Waker>) -> Poll<io::Result<()>> {
        let Some(wait) = self.waits.get_mut(&key) else {
            return Poll::Ready(Err(io::ErrorKind::NotFound.into()));
        };
        if wait.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if std::mem::take(&mut wait.due) {
            return Poll::Ready(Ok(()));
        }
        // The old one is swapped out, to be dropped where no lock is held.
        std::mem::swap(&mut wait.waker, waker);
        Poll::Pending
    }

    /// Makes `event` due for whom it concerns, and returns whom to wake.
    fn tell(&mut self, event: Event) -> Vec<Waker> {
        let keys: Vec<Key> = match event {
            Event::At(file) => self
                .files
                .get(&file)
                .into_iter()
                .flatten()
                .copied()
                .collect(),
            // The number is not used again soon, and nobody is to unwatch it.
            Event::Gone(file) => self.files.remove(&file).into_iter().flatten().collect(),
            Event::Lost => self.waits.keys().copied().collect(),
        };
        let mut wakers = Vec::new();
        for key in keys {
            if let Some(wait) = self.waits.get_mut(&key) {
                wait.due = true;
                wakers.extend(wait.waker.take());
            }
        }
        wakers
    }

    /// Ends `station` for all its waits, and returns whom to wake.
    fn end(&mut self, station: Number) -> Vec<Waker> {
        let waits = self.waits.values_mut();
        waits
            .filter(|wait| wait.station == station)
            .filter_map(|wait| {
                wait.ended = true;
                wait.waker.take()
            })
            .collect()
    }

    /// Whether anybody waits for the events of `file`.
    pub(super) fn has(&self, file: Watched) -> bool {
        self.files.contains_key(&file)
    }
}

/// Whether something has happened that concerns `key`; an error if its station hears nothing any
/// more.
pub(super) fn poll(table: &impl Locked, key: Key, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut waker = Some(cx.waker().clone());
    table.with(|table| table.poll(key, &mut waker))
}

/// Tells of all that `station` has heard, and has `cx` called when there is more.
pub(super) fn listen(
    table: &impl Locked,
    station: Number,
    source: &impl Source,
    cx: &mut Context<'_>,
) {
    while let Poll::Ready(events) = source.poll_events(cx) {
        match events {
            Ok(events) => tell(table, events),
            Err(_) => return wake(table.with(|table| table.end(station))),
        }
    }
}

/// Wakes those whom `events` concern.
pub(super) fn tell(table: &impl Locked, events: Vec<Event>) {
    for event in events {
        wake(table.with(|table| table.tell(event)));
    }
}

/// Wakers may run anything, so they are called with no lock held.
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

    impl Locked for LoomMutex<Table> {
        fn with<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
            f(&mut self.lock().unwrap())
        }
    }

    /// A process with two runtimes, and the kernel below it.
    struct World {
        table: LoomMutex<Table>,
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

    /// A station, as its reactor calls it.
    struct Station {
        number: Number,
        world: Weak<World>,
    }

    impl Station {
        fn reactor<'a>(&self, kernel: &'a mut Kernel) -> &'a mut Reactor {
            &mut kernel.reactors[self.number as usize]
        }

        fn listen(self: &Arc<Self>) {
            let waker = Waker::from(self.clone());
            let mut cx = Context::from_waker(&waker);
            if let Some(world) = self.world.upgrade() {
                listen(&world.table, self.number, self.as_ref(), &mut cx);
            }
        }
    }

    impl Wake for Station {
        fn wake(self: Arc<Self>) {
            self.listen();
        }
    }

    impl Source for Station {
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
                table: LoomMutex::new(Table::new()),
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

        fn station(self: &Arc<Self>, number: Number) -> Arc<Station> {
            Arc::new(Station {
                number,
                world: Arc::downgrade(self),
            })
        }

        /// A wait for `file` at a station that listens.
        fn add(self: &Arc<Self>, file: Watched, station: Number) -> Key {
            let key = self.table.with(|table| table.add(file, station));
            self.station(station).listen();
            key
        }

        fn poll_with(&self, key: Key, waker: &Waker) -> Poll<io::Result<()>> {
            poll(&self.table, key, &mut Context::from_waker(waker))
        }

        /// Waits for ever if a wake-up is lost, which loom reports as a deadlock.
        fn wait(&self, key: Key) -> io::Result<()> {
            let thread = Arc::new(Thread(Notify::new()));
            let waker = Waker::from(thread.clone());
            loop {
                if let Poll::Ready(told) = self.poll_with(key, &waker) {
                    drop(self.table.with(|table| table.remove(key)));
                    return told;
                }
                thread.0.wait();
            }
        }

        /// The same, on a thread that is the reactor of `station` too.
        fn wait_and_react(self: &Arc<Self>, key: Key, station: Number) {
            let thread = Arc::new(Thread(Notify::new()));
            let waker = Waker::from(thread.clone());
            let station = self.station(station);
            while self.poll_with(key, &waker).is_pending() {
                listen(
                    &self.table,
                    station.number,
                    station.as_ref(),
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
    fn every_wait_of_a_station_hears_of_its_file() {
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
                    drop(world.table.with(|table| table.remove(gives_up)));
                })
            };
            world.happen(Event::At(1));
            waits.join().unwrap().unwrap();
            leaves.join().unwrap();
            assert!(!world.table.with(|table| table.has(1)));
        });
    }

    #[test]
    fn a_wait_hears_of_what_another_runtime_reads() {
        model(|| {
            let world = World::new();
            let waits = [(1, 0), (2, 1)].map(|(file, station)| {
                let key = world.table.with(|table| table.add(file, station));
                let world = world.clone();
                thread::spawn(move || world.wait_and_react(key, station))
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
        let mut table = Table::new();
        let (one, other) = (table.add(1, 0), table.add(2, 0));
        let is_due = |table: &mut Table, key| table.poll(key, &mut None).is_ready();
        drop(table.tell(Event::Gone(1)));
        assert!(is_due(&mut table, one) && !is_due(&mut table, other));
        assert!(!table.has(1), "what is gone is not unwatched again");
        drop(table.tell(Event::Lost));
        assert!(is_due(&mut table, one) && is_due(&mut table, other));
    }

    #[test]
    fn a_wait_is_woken_where_it_was_polled_last() {
        struct Counts(AtomicUsize);

        impl Wake for Counts {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        let table = Mutex::new(Table::new());
        let key = table.with(|table| table.add(1, 0));
        let counts = [(); 2].map(|()| Arc::new(Counts(AtomicUsize::new(0))));
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(poll(&table, key, &mut Context::from_waker(&waker)).is_pending());
        }
        tell(&table, vec![Event::At(1)]);
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

        let table = Mutex::new(Table::new());
        let keys = [1, 1].map(|file| table.with(|table| table.add(file, 0)));
        for key in keys {
            let waker = Waker::from(Arc::new(Panics));
            assert!(poll(&table, key, &mut Context::from_waker(&waker)).is_pending());
        }
        tell(&table, vec![Event::At(1)]);
        for key in keys {
            assert!(poll(&table, key, &mut Context::from_waker(Waker::noop())).is_ready());
        }
    }
}
