//! Events that may mean that a lock was released: inotify(7).
//!
//! A descriptor of the lock file was closed, by whichever program and however it ended
//! (IN_CLOSE, also on SIGKILL, sent up to a few microseconds *before* the lock is free); or the
//! file was unlinked or moved. An explicit unlock makes no event: [`announce`] makes one, which is
//! why being opened is an event as well.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use tracing::warn;

use super::census::unmark;
use super::station::Station;
use super::table::{self, Key, Locked, Number, Table, Watched};
use crate::reactor::reactor;
use crate::{FileId, ForkGeneration};

/// Wakes those who wait for the lock of `file`, which was just released: opened as `path`, it is `id`.
///
/// Opening and closing the file are events that need no write access and leave no trace. If neither
/// the path nor the descriptor can be opened, who waits is late by one timed look; and has to go on
/// looking, for the next time will be no better.
pub(crate) fn announce(file: &File, id: FileId, path: &Path, follow_symlinks: bool) {
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
pub(crate) struct Releases {
    key: Key,
    watched: Watched,
    inotify: Arc<Inotify>,
    /// Missing only while it is being dropped.
    station: Option<Arc<Station>>,
    process: ForkGeneration,
}

impl Releases {
    /// Listens to what happens to the file at `path` from now on.
    ///
    /// Without inotify, or without a reactor to watch it, there is none: said once, in the log.
    pub(crate) fn of(path: &Path, follow_symlinks: bool) -> Option<Self> {
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
        let (key, watched) = inotify
            .add(path, follow_symlinks, station.number())
            .inspect_err(|_| inotify.leave(&station))?;
        // If it is new, nobody has yet; and if it was closed meanwhile, this wait has not heard.
        station.listen();
        Ok(Self {
            key,
            watched,
            inotify,
            station: Some(station),
            process: ForkGeneration::current(),
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
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        poll_fn(|cx| table::poll(&*self.inotify.table, self.key, cx)).await
    }

    /// Stops listening, and leaves the system calls for this to when it is dropped: whoever has
    /// waited long enough has the lock now.
    pub(crate) fn retire(&mut self) {
        drop(self.inotify.table.with(|table| table.remove(self.key)));
    }
}

impl Drop for Releases {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.retire();
            self.inotify.unwatch(self.watched);
            if let Some(station) = &self.station {
                self.inotify.leave(station);
            }
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
    table: Arc<Mutex<Table>>,
    /// One for each runtime with a wait, and for moments one that is closed.
    stations: Mutex<Vec<Arc<Station>>>,
}

impl Inotify {
    fn of_this_process() -> io::Result<Arc<Self>> {
        /// A forked child has its parent's instance, and would steal its events.
        static INOTIFY: Mutex<Option<(ForkGeneration, Arc<Inotify>)>> = Mutex::new(None);
        let mut known = INOTIFY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((process, inotify)) = &*known
            && process.is_current()
        {
            return Ok(inotify.clone());
        }
        let new = Arc::new(Self {
            file: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?.into(),
            table: Arc::new(Mutex::new(Table::new())),
            stations: Mutex::new(Vec::new()),
        });
        // The parent's is forgotten, not dropped: its table may be locked, by a thread that is not
        // here.
        std::mem::forget(known.replace((ForkGeneration::current(), new.clone())));
        Ok(new)
    }

    /// The station of the runtime at hand, to be left again.
    fn station(&self) -> io::Result<Arc<Station>> {
        let Some(reactor) = reactor() else {
            return Err(io::Error::other("the system lets nobody watch descriptors"));
        };
        let mut stations = self.stations();
        let mut known = stations.iter();
        if let Some(station) = known.find(|station| station.join(reactor.id())) {
            return Ok(station.clone());
        }
        let station = Station::open(&reactor, &self.file, &self.table)?;
        stations.push(station.clone());
        Ok(station)
    }

    fn leave(&self, station: &Arc<Station>) {
        if station.leave() {
            self.stations().retain(|other| !Arc::ptr_eq(other, station));
        }
    }

    fn stations(&self) -> MutexGuard<'_, Vec<Arc<Station>>> {
        self.stations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        path: &Path,
        follow_symlinks: bool,
        station: Number,
    ) -> io::Result<(Key, Watched)> {
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

    /// Ends the watch on a file, if nobody needs it.
    fn unwatch(&self, watched: Watched) {
        self.table.with(|table| {
            if !table.has(watched) {
                // It may be gone already, with its file.
                inotify::remove_watch(&self.file, watched).ok();
            }
        });
    }
}
