//! Events that may mean that a lock was released: inotify(7).
//!
//! A descriptor of the lock file was closed, by whichever program and however it ended
//! (IN_CLOSE, also on SIGKILL, sent up to a few microseconds *before* the lock is free); or the
//! file was unlinked or moved. An explicit unlock makes no event: [`announce`] makes one, which is
//! why being opened is an event as well.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Id;
use tracing::warn;

use super::census::unmark;
use super::table::{self, Event, Key, Locked, Source, Table, Watched};
use crate::file::{FileId, Process};
use crate::runtime;

/// Wakes those who wait for the lock of `file`, which was just released: opened as `path`, it is `id`.
///
/// Opening and closing the file are events that need no write access and leave no trace. If neither
/// the path nor the descriptor can be opened, who waits is late by one timed look; and has to go on
/// looking, for the next time will be no better.
pub(in crate::file) fn announce(file: &File, id: FileId, path: &Path, follow_symlinks: bool) {
    let plain = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let flags = if follow_symlinks {
        plain
    } else {
        plain | OFlags::NOFOLLOW
    };
    let opened = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    if opened.is_ok_and(|opened| FileId::of_file(&opened).is_ok_and(|opened| opened == id)) {
        return;
    }
    // It has another name by now, or one that is out of our reach.
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    if rustix::fs::open(link, plain, Mode::empty()).is_err() {
        unmark(file);
    }
}

/// A wait for the events of one file; it ends when dropped.
#[derive(Debug)]
pub(in crate::file) struct Releases {
    key: Key,
    watched: Watched,
    inotify: Arc<Inotify>,
    /// Missing only while it is being dropped.
    station: Option<Arc<Station>>,
    process: Process,
}

impl Releases {
    /// Listens to what happens to the file at `path` from now on.
    ///
    /// Without inotify, or without a reactor to watch it, there is none: said once, in the log.
    pub(in crate::file) fn of(path: &Path, follow_symlinks: bool) -> Option<Self> {
        Self::listen(path, follow_symlinks)
            .inspect_err(|error| {
                static SAID: OnceLock<()> = OnceLock::new();
                SAID.get_or_init(|| {
                    warn!(target: "touchfile", %error, "no events to wait for: looking every few milliseconds");
                });
            })
            .ok()
    }

    fn listen(path: &Path, follow_symlinks: bool) -> io::Result<Self> {
        let inotify = Inotify::of_this_process()?;
        let station = inotify.station()?;
        let (key, watched) = inotify.add(path, follow_symlinks, station.id)?;
        Ok(Self {
            key,
            watched,
            inotify,
            station: Some(station),
            process: Process::current(),
        })
    }

    /// Returns when something has happened.
    ///
    /// # Errors
    ///
    /// When the runtime whose reactor is used is shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed.
    pub(in crate::file) async fn next(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let Some(mut station) = self.station.as_deref() else {
                return Poll::Pending;
            };
            table::poll(&self.inotify.table, self.key, &mut station, cx)
        })
        .await
    }

    /// Stops listening, and leaves the system calls for this to when it is dropped: whoever has
    /// waited long enough has the lock now.
    pub(in crate::file) fn retire(&mut self) {
        let heir = self.inotify.table.with(|table| table.remove(self.key));
        if let Some(waker) = heir {
            waker.wake();
        }
    }
}

impl Drop for Releases {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.retire();
            let station = self.station.take();
            self.inotify.clean_up(self.watched, station);
        } else {
            // A forked child's copy: it would end the parent's watch, and take its station out of
            // the reactor that both have.
            std::mem::forget(self.station.take());
        }
    }
}

/// The inotify instance of this process.
///
/// It stays open once it was needed: closing one takes the kernel up to 20 ms
/// (fsnotify_destroy_group waits for a grace period), and there are few for each user
/// (fs.inotify.max_user_instances).
#[derive(Debug)]
struct Inotify {
    file: File,
    table: Mutex<Table<Id>>,
    /// By runtime.
    stations: Mutex<Vec<Arc<Station>>>,
}

/// The inotify instance in one runtime's reactor.
#[derive(Debug)]
struct Station {
    id: Id,
    // No pipe, but read like one: tokio has no other safe way to watch a descriptor.
    receiver: Receiver,
}

impl Inotify {
    fn of_this_process() -> io::Result<Arc<Self>> {
        /// A forked child has its parent's instance, and would steal its events.
        static INOTIFY: Mutex<Option<(Process, Arc<Inotify>)>> = Mutex::new(None);
        let mut known = INOTIFY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((process, inotify)) = &*known
            && process.is_current()
        {
            return Ok(inotify.clone());
        }
        let new = Arc::new(Self {
            file: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?.into(),
            table: Mutex::new(Table::new()),
            stations: Mutex::new(Vec::new()),
        });
        // The parent's is forgotten, not dropped: its table may be locked, by a thread that is not
        // here.
        std::mem::forget(known.replace((Process::current(), new.clone())));
        Ok(new)
    }

    fn station(&self) -> io::Result<Arc<Station>> {
        let Some(reactor) = runtime::reactor() else {
            return Err(io::Error::other("the system lets nobody watch descriptors"));
        };
        let mut stations = self.stations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(station) = stations.iter().find(|station| station.id == reactor.id()) {
            return Ok(station.clone());
        }
        let _entered = reactor.enter();
        let station = Arc::new(Station {
            id: reactor.id(),
            receiver: Receiver::from_file_unchecked(self.file.try_clone()?)?,
        });
        stations.push(station.clone());
        Ok(station)
    }

    fn add(&self, path: &Path, follow_symlinks: bool, station: Id) -> io::Result<(Key, Watched)> {
        let mut what = WatchFlags::CLOSE
            | WatchFlags::OPEN
            | WatchFlags::ATTRIB // the number of links, for one
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        if !follow_symlinks {
            what |= WatchFlags::DONT_FOLLOW;
        }
        // In one step, so that nobody who leaves takes the same file's watch away in between.
        self.table.with(|table| {
            let watched = rustix::io::retry_on_intr(|| inotify::add_watch(&self.file, path, what))?;
            Ok((table.add(watched, station), watched))
        })
    }

    /// Ends the watch on a file, and the station, if nobody needs them.
    fn clean_up(&self, watched: Watched, station: Option<Arc<Station>>) {
        self.table.with(|table| {
            if !table.has(watched) {
                // It may be gone already, with its file.
                inotify::remove_watch(&self.file, watched).ok();
            }
        });
        let mut stations = self.stations.lock().unwrap_or_else(PoisonError::into_inner);
        // The list has one, and this call the other.
        if let Some(station) = station
            && Arc::strong_count(&station) <= 2
        {
            // What is left there would wake the next who comes.
            drop(read(&station.receiver));
            stations.retain(|other| !Arc::ptr_eq(other, &station));
        }
    }
}

impl Source for &'_ Station {
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>> {
        loop {
            match self.receiver.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ready) => ready?,
            }
            match self.receiver.try_io(|| read(&self.receiver)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                events => return Poll::Ready(events),
            }
        }
    }
}

/// The next few events; `WouldBlock` if there is none.
fn read(receiver: &Receiver) -> io::Result<Vec<Event>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(receiver, &mut buffer);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                events.push(Event::Lost);
            }
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                events.push(Event::Gone(event.wd()));
            }
            // Events of what is in a watched directory have a name.
            Ok(event) if event.file_name().is_some() => {}
            Ok(event) => events.push(Event::At(event.wd())),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        if reader.is_buffer_empty() {
            return Ok(events);
        }
    }
}
