//! Who in this process waits for which file's events, and who of them looks for events.
//!
//! All waits of a process share one inotify instance. Each runtime that has waits watches it in
//! its own reactor, through a *station*, and one wait of each station, its *driver*, is the one
//! that the reactor wakes: it reads the events and wakes those they are for. A driver that leaves
//! hands over to another wait of its station. So an event costs one wake-up, however many wait,
//! and no task or thread has to be kept for it.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A wait.
pub(super) type Key = u64;

/// What inotify calls a watch descriptor: a watched file.
pub(super) type Watched = i32;

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

/// Where a driver gets its events.
pub(super) trait Source {
    /// The events since the last look; none means pending, with the waker registered.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>>;
}

/// A table behind a lock: std's, and in the test loom's.
pub(super) trait Locked<S> {
    fn with<R>(&self, f: impl FnOnce(&mut Table<S>) -> R) -> R;
}

impl<S> Locked<S> for Mutex<Table<S>> {
    fn with<R>(&self, f: impl FnOnce(&mut Table<S>) -> R) -> R {
        f(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All waits of a process, by station `S`.
#[derive(Debug)]
pub(super) struct Table<S> {
    waits: HashMap<Key, Wait<S>>,
    files: HashMap<Watched, BTreeSet<Key>>,
    stations: HashMap<S, Station>,
    next: Key,
}

#[derive(Debug)]
struct Wait<S> {
    file: Watched,
    station: S,
    waker: Option<Waker>,
    /// Something happened that this wait has not been told of.
    due: bool,
}

#[derive(Debug)]
struct Station {
    driver: Key,
    waits: BTreeSet<Key>,
}

impl<S: Clone + Eq + Hash> Table<S> {
    pub(super) fn new() -> Self {
        Self {
            waits: HashMap::new(),
            files: HashMap::new(),
            stations: HashMap::new(),
            next: 0,
        }
    }

    pub(super) fn add(&mut self, file: Watched, station: S) -> Key {
        let key = self.next;
        self.next += 1;
        self.files.entry(file).or_default().insert(key);
        let at = self.stations.entry(station.clone()).or_insert(Station {
            driver: key,
            waits: BTreeSet::new(),
        });
        at.waits.insert(key);
        let wait = Wait {
            file,
            station,
            waker: None,
            due: false,
        };
        self.waits.insert(key, wait);
        key
    }

    /// Ends a wait, and returns whom to wake: the new driver of its station.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        let wait = self.waits.remove(&key)?;
        if let Some(keys) = self.files.get_mut(&wait.file) {
            keys.remove(&key);
            if keys.is_empty() {
                self.files.remove(&wait.file);
            }
        }
        let station = self.stations.get_mut(&wait.station)?;
        station.waits.remove(&key);
        let Some(&heir) = station.waits.first() else {
            self.stations.remove(&wait.station);
            return None;
        };
        if station.driver != key {
            return None;
        }
        station.driver = heir;
        self.waits.get(&heir).and_then(|wait| wait.waker.clone())
    }

    /// Whether anybody waits for the events of `file`.
    pub(super) fn has(&self, file: Watched) -> bool {
        self.files.contains_key(&file)
    }

    /// Notes who is to be woken for `key`, and returns whether something is due already, else
    /// whether this wait is its station's driver.
    fn arrive(&mut self, key: Key, waker: &mut Option<Waker>) -> Option<Arrival> {
        let wait = self.waits.get_mut(&key)?;
        if std::mem::take(&mut wait.due) {
            return Some(Arrival::Due);
        }
        // The old one is swapped out, to be dropped where no lock is held.
        std::mem::swap(&mut wait.waker, waker);
        let drives = self.stations.get(&wait.station)?.driver == key;
        Some(if drives {
            Arrival::Drives
        } else {
            Arrival::Waits
        })
    }

    fn is_due(&mut self, key: Key) -> bool {
        self.waits
            .get_mut(&key)
            .is_some_and(|wait| std::mem::take(&mut wait.due))
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
}

enum Arrival {
    Due,
    Drives,
    Waits,
}

/// Whether something has happened that concerns `key`; drives its station if that is its turn.
pub(super) fn poll<S: Clone + Eq + Hash>(
    table: &impl Locked<S>,
    key: Key,
    source: &mut impl Source,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut waker = Some(cx.waker().clone());
    let arrival = table.with(|table| table.arrive(key, &mut waker));
    drop(waker);
    match arrival {
        Some(Arrival::Due) => return Poll::Ready(Ok(())),
        Some(Arrival::Waits) => return Poll::Pending,
        Some(Arrival::Drives) => {}
        None => return Poll::Ready(Err(io::ErrorKind::NotFound.into())),
    }
    while let Poll::Ready(events) = source.poll_events(cx) {
        for event in events? {
            // Wakers may run anything, so they are called with no lock held.
            for waker in table.with(|table| table.tell(event)) {
                waker.wake();
            }
        }
        if table.with(|table| table.is_due(key)) {
            return Poll::Ready(Ok(()));
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use loom::sync::{Mutex as LoomMutex, Notify};
    use loom::thread;

    use super::*;

    const STATION: u8 = 0;

    impl Locked<u8> for LoomMutex<Table<u8>> {
        fn with<R>(&self, f: impl FnOnce(&mut Table<u8>) -> R) -> R {
            f(&mut self.lock().unwrap())
        }
    }

    /// What a reactor and the kernel do: keep events, and wake whoever looked last.
    struct Kernel(LoomMutex<(Vec<Event>, Option<Waker>)>);

    impl Kernel {
        fn happen(&self, event: Event) {
            let waker = {
                let mut state = self.0.lock().unwrap();
                state.0.push(event);
                state.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    impl Source for &Kernel {
        fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>> {
            let mut state = self.0.lock().unwrap();
            if state.0.is_empty() {
                state.1 = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(std::mem::take(&mut state.0)))
        }
    }

    struct Thread(Notify);

    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.notify();
        }
    }

    struct World {
        table: LoomMutex<Table<u8>>,
        kernel: Kernel,
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                table: LoomMutex::new(Table::new()),
                kernel: Kernel(LoomMutex::new((Vec::new(), None))),
            })
        }

        fn add(&self, file: Watched) -> Key {
            self.table.with(|table| table.add(file, STATION))
        }

        fn poll_with(&self, key: Key, waker: &Waker) -> Poll<io::Result<()>> {
            let mut cx = Context::from_waker(waker);
            poll(&self.table, key, &mut &self.kernel, &mut cx)
        }

        /// Waits for ever if a wake-up is lost, which loom reports as a deadlock.
        fn wait(&self, key: Key) {
            let thread = Arc::new(Thread(Notify::new()));
            let waker = Waker::from(thread.clone());
            while self.poll_with(key, &waker).is_pending() {
                thread.0.wait();
            }
            self.leave(key);
        }

        fn leave(&self, key: Key) {
            let heir = self.table.with(|table| table.remove(key));
            if let Some(waker) = heir {
                waker.wake();
            }
        }
    }

    fn model(test: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(test);
    }

    #[test]
    fn every_wait_of_a_station_hears_of_its_file_whoever_drives() {
        model(|| {
            let world = World::new();
            let (one, other) = (world.add(1), world.add(2));
            let waits = [one, other].map(|key| {
                let world = world.clone();
                thread::spawn(move || world.wait(key))
            });
            world.kernel.happen(Event::At(1));
            world.kernel.happen(Event::At(2));
            for wait in waits {
                wait.join().unwrap();
            }
        });
    }

    #[test]
    fn a_driver_that_gives_up_leaves_no_wait_undriven() {
        model(|| {
            let world = World::new();
            let (gives_up, stays) = (world.add(1), world.add(2));
            let waits = {
                let world = world.clone();
                thread::spawn(move || world.wait(stays))
            };
            let leaves = {
                let world = world.clone();
                thread::spawn(move || {
                    // Whether something has happened is not of interest to who gives up.
                    drop(world.poll_with(gives_up, Waker::noop()));
                    world.leave(gives_up);
                })
            };
            world.kernel.happen(Event::At(2));
            waits.join().unwrap();
            leaves.join().unwrap();
        });
    }

    #[test]
    fn lost_events_and_vanished_files_wake_whom_they_may_concern() {
        let mut table = Table::new();
        let (one, other) = (table.add(1, STATION), table.add(2, STATION));
        drop(table.tell(Event::Gone(1)));
        assert!(table.is_due(one) && !table.is_due(other));
        assert!(!table.has(1), "what is gone is not unwatched again");
        drop(table.tell(Event::Lost));
        assert!(table.is_due(one) && table.is_due(other));
    }
}
