//! Events that may mean that a lock was released: inotify(7).
//!
//! A descriptor of the lock file was closed, by whichever program and however it ended
//! (IN_CLOSE, also on SIGKILL, sent up to a few microseconds *before* the lock is free); or the
//! file was unlinked or moved. An explicit unlock makes no event: [`notify_waiters`] makes one, which
//! is why being opened is an event as well.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};

use super::driver::Driver;
use super::holder_probe::unmark;
use super::registry::{self, DriverId, Locked, Registry, WaiterId, WatchDescriptor};
use crate::reactor::reactor;
use crate::wait::Target;
use crate::wait::system::FileEvents;
use crate::{FileId, ForkGeneration, Symlinks};

/// Wakes those who wait for the lock of `target`, which was just released.
///
/// Opening and closing the file are events that need no write access and leave no trace. If neither
/// the path nor the descriptor can be opened, a waiter is late by one interval of its polls; and it has
/// to go on polling, for the next release will be no better.
pub(super) fn notify_waiters(target: &Target<'_>) {
    let plain = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let flags = match target.symlinks {
        Symlinks::Follow => plain,
        Symlinks::NoFollow | Symlinks::Refuse => plain | OFlags::NOFOLLOW,
    };
    let opened = rustix::fs::open(target.path, flags, Mode::empty()).map(File::from);
    if opened.is_ok_and(|opened| FileId::from_file(&opened).is_ok_and(|id| id == target.id)) {
        return;
    }
    // The file has another name by now, or one that this process cannot reach any more.
    let link = format!("/proc/self/fd/{}", target.file.as_raw_fd());
    if rustix::fs::open(link, plain, Mode::empty()).is_err() {
        unmark(target.file);
    }
}

fn log_once(error: &io::Error) {
    static LOGGED: OnceLock<()> = OnceLock::new();
    LOGGED.get_or_init(|| {
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "touchfile", %error, "no events to wait for: polling every few milliseconds");
        let _ = error;
    });
}

/// A wait for the events of one file; it ends when dropped.
#[derive(Debug)]
pub(super) struct FileWatch {
    waiter: WaiterId,
    file: WatchDescriptor,
    inotify: Arc<Inotify>,
    /// Missing only while it is being dropped.
    driver: Option<Arc<Driver>>,
    process: ForkGeneration,
}

impl FileWatch {
    /// Watches the file at `path` from now on.
    ///
    /// `None` without inotify, or without a reactor to watch it: the log says so once.
    pub(super) fn start(path: &Path, symlinks: Symlinks) -> Option<Self> {
        Self::try_start(path, symlinks).inspect_err(log_once).ok()
    }

    fn try_start(path: &Path, symlinks: Symlinks) -> io::Result<Self> {
        let inotify = Inotify::of_this_process()?;
        let driver = inotify.driver()?;
        let (waiter, file) = inotify
            .add(path, symlinks, driver.id())
            .inspect_err(|_| inotify.leave(&driver))?;
        // A new driver has dispatched nothing yet; and if it was closed meanwhile, this wait is told.
        driver.dispatch();
        Ok(Self {
            waiter,
            file,
            inotify,
            driver: Some(driver),
            process: ForkGeneration::current(),
        })
    }
}

impl FileEvents for FileWatch {
    /// An error means that the runtime whose reactor is used is shut down.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        registry::poll(&*self.inotify.registry, self.waiter, cx)
    }

    /// Leaves the system calls to the drop, so that the caller can use the lock at once.
    fn retire(&mut self) {
        drop(
            self.inotify
                .registry
                .with(|registry| registry.remove(self.waiter)),
        );
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.retire();
            self.inotify.unwatch(self.file);
            if let Some(driver) = &self.driver {
                self.inotify.leave(driver);
            }
        } else {
            // This is a forked child's copy. Dropping it would end the parent's watch, and would take
            // its driver out of the reactor that both have.
            std::mem::forget(self.driver.take());
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
    registry: Arc<Mutex<Registry>>,
    /// One for each runtime with a wait; one that is closed stays for a moment.
    drivers: Mutex<Vec<Arc<Driver>>>,
}

impl Inotify {
    fn of_this_process() -> io::Result<Arc<Self>> {
        /// A forked child has its parent's instance, and would steal its events.
        static INOTIFY: Mutex<Option<(ForkGeneration, Arc<Inotify>)>> = Mutex::new(None);
        let mut known = INOTIFY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((process, inotify)) = &*known {
            if process.is_current() {
                return Ok(inotify.clone());
            }
        }
        let new = Arc::new(Self {
            file: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?.into(),
            registry: Arc::new(Mutex::new(Registry::new())),
            drivers: Mutex::new(Vec::new()),
        });
        // The parent's is forgotten, not dropped: its registry may be locked, by a thread that this
        // process does not have.
        std::mem::forget(known.replace((ForkGeneration::current(), new.clone())));
        Ok(new)
    }

    /// The driver of the current runtime, with one more wait, which must leave it again.
    fn driver(&self) -> io::Result<Arc<Driver>> {
        let Some(reactor) = reactor() else {
            return Err(io::Error::other("the system lets nobody watch descriptors"));
        };
        let mut drivers = self.drivers();
        let mut known = drivers.iter();
        if let Some(driver) = known.find(|driver| driver.join(reactor.id())) {
            return Ok(driver.clone());
        }
        let driver = Driver::open(&reactor, &self.file, &self.registry)?;
        drivers.push(driver.clone());
        Ok(driver)
    }

    fn leave(&self, driver: &Arc<Driver>) {
        if driver.leave() {
            self.drivers().retain(|other| !Arc::ptr_eq(other, driver));
        }
    }

    fn drivers(&self) -> MutexGuard<'_, Vec<Arc<Driver>>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        path: &Path,
        symlinks: Symlinks,
        driver: DriverId,
    ) -> io::Result<(WaiterId, WatchDescriptor)> {
        let mut events = WatchFlags::CLOSE
            | WatchFlags::OPEN
            | WatchFlags::ATTRIB // the number of links, for one
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        if symlinks != Symlinks::Follow {
            events |= WatchFlags::DONT_FOLLOW;
        }
        // In one step, so that no wait that ends takes the same file's watch away in between.
        self.registry.with(|registry| {
            let file = rustix::io::retry_on_intr(|| inotify::add_watch(&self.file, path, events))?;
            Ok((registry.add(file, driver), file))
        })
    }

    /// Ends the watch on a file, if no wait needs it.
    fn unwatch(&self, file: WatchDescriptor) {
        self.registry.with(|registry| {
            if !registry.has(file) {
                // It may be gone already, with its file.
                inotify::remove_watch(&self.file, file).ok();
            }
        });
    }
}
