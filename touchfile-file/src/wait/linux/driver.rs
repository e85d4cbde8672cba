//! The reactor driver: the inotify instance in one runtime's reactor.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use rustix::fs::inotify::{ReadFlags, Reader};
use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::{Handle, Id};
use tokio::task::unconstrained;

use super::registry::{self, DriverId, Event, Registry, Source};
use crate::ForkGeneration;

/// Reads the events for the waits of one runtime. It is the waker that the runtime's reactor calls.
///
/// It is open for as long as it has waits and its runtime is there.
#[derive(Debug)]
pub(super) struct Driver {
    id: DriverId,
    runtime: Id,
    registry: Arc<Mutex<Registry>>,
    process: ForkGeneration,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    /// The inotify instance, as if it were a pipe: tokio has no other safe way to watch a descriptor.
    /// `None` once the driver is closed.
    receiver: Option<Receiver>,
    waits: usize,
}

impl Driver {
    /// Opens a driver for `inotify` in the reactor of `runtime`, with one wait.
    pub(super) fn open(
        runtime: &Handle,
        inotify: &File,
        registry: &Arc<Mutex<Registry>>,
    ) -> io::Result<Arc<Self>> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let _entered = runtime.enter();
        let receiver = Receiver::from_file_unchecked(inotify.try_clone()?)?;
        Ok(Arc::new(Self {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            runtime: runtime.id(),
            registry: registry.clone(),
            process: ForkGeneration::current(),
            inside: Mutex::new(Inside {
                receiver: Some(receiver),
                waits: 1,
            }),
        }))
    }

    pub(super) fn id(&self) -> DriverId {
        self.id
    }

    /// Adds a wait, if this is an open driver of `runtime`.
    pub(super) fn join(&self, runtime: Id) -> bool {
        let mut inside = self.inside();
        let joins = self.runtime == runtime && inside.receiver.is_some();
        inside.waits += usize::from(joins);
        joins
    }

    /// Takes a wait away, and returns whether it was the last.
    pub(super) fn leave(&self) -> bool {
        let mut inside = self.inside();
        inside.waits -= 1;
        if inside.waits > 0 {
            return false;
        }
        let receiver = inside.receiver.take();
        drop(inside);
        let mut left = Vec::new();
        if let Some(receiver) = receiver {
            // Events that nobody has read would wake the next wait, and may be for other runtimes' waits.
            read(&receiver, &mut left).ok();
        }
        registry::notify(&*self.registry, left);
        true
    }

    /// Reads the pending events, notifies the waits that they are for, and has the reactor call again
    /// when there are more.
    pub(super) fn dispatch(self: &Arc<Self>) {
        // A forked child has a copy of the reactor. It would steal its parent's events.
        if self.process.is_current() {
            let waker = Waker::from(self.clone());
            let mut cx = Context::from_waker(&waker);
            registry::dispatch(&*self.registry, self.id, self.as_ref(), &mut cx);
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Driver {
    fn wake(self: Arc<Self>) {
        self.dispatch();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.dispatch();
    }
}

impl Source for Driver {
    fn poll_events(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>> {
        let mut inside = self.inside();
        let Some(receiver) = &inside.receiver else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let events = ready!(poll_receiver(receiver, cx));
        if events.is_err() {
            // The runtime is gone.
            inside.receiver = None;
        }
        Poll::Ready(events)
    }

    fn close(&self) {
        let receiver = self.inside().receiver.take();
        drop(receiver);
    }
}

fn poll_receiver(receiver: &Receiver, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>> {
    // tokio makes a task that has used up its budget yield by calling its waker, which puts the task
    // at the end of a queue. This waker would call this function again.
    let mut is_ready = pin!(unconstrained(poll_fn(|cx| receiver.poll_read_ready(cx))));
    loop {
        ready!(is_ready.as_mut().poll(cx))?;
        let mut events = Vec::new();
        match receiver.try_io(|| read(receiver, &mut events)) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Poll::Ready(Err(error));
            }
            _ if events.is_empty() => {}
            _ => return Poll::Ready(Ok(events)),
        }
    }
}

/// Reads the next few events, and fails with `WouldBlock` if there were no more at that time.
///
/// That error makes the receiver wait for the reactor at once, without another read that finds
/// nothing, and lets the reactor have its turn however fast events come.
fn read(receiver: &Receiver, events: &mut Vec<Event>) -> io::Result<()> {
    const ROOM: usize = 4096;
    /// A name has 256 bytes at most with its zeros, and few events have one.
    const LARGEST: usize = 16 + 256;
    const NAMELESS: usize = 16;

    let mut buffer = [MaybeUninit::uninit(); ROOM];
    let mut reader = Reader::new(receiver, &mut buffer);
    let mut filled = 0;
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        filled += event.file_name().map_or(NAMELESS, |_| LARGEST);
        let flags = event.events();
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            events.push(Event::Lost);
        } else if flags.contains(ReadFlags::IGNORED) {
            events.push(Event::Gone(event.wd()));
        } else if event.file_name().is_none() {
            // Events of what is in a watched directory have a name.
            events.push(Event::At(event.wd()));
        }
        if reader.is_buffer_empty() {
            // inotify_read (fs/notify/inotify/inotify_user.c) returns all events that there is
            // room for.
            return if filled + LARGEST <= ROOM {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use tempfile::NamedTempFile;
    use tokio::runtime::{Builder, Runtime};
    use tokio::task::LocalSet;
    use tokio::task::coop::{consume_budget, has_budget_remaining};
    use tokio::time::timeout;

    use super::super::file_events::FileWatch;
    use super::*;
    use crate::Symlinks;
    use crate::wait::linux::registry::Locked;
    use crate::wait::system::FileEvents;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn listening(runtime: &Runtime, file: &NamedTempFile) -> FileWatch {
        let _entered = runtime.enter();
        listening_here(file)
    }

    fn listening_here(file: &NamedTempFile) -> FileWatch {
        FileWatch::start(file.path(), Symlinks::NoFollow).unwrap()
    }

    fn touch(file: &NamedTempFile) {
        drop(file.reopen().unwrap());
    }

    /// Returns when something has happened, which it has.
    async fn next(watch: &mut FileWatch) -> io::Result<()> {
        let told = timeout(Duration::from_secs(20), poll_fn(|cx| watch.poll_event(cx))).await;
        told.expect("it is told")
    }

    /// Has `waker` called when something happens, and returns whether something has.
    fn poll(watch: &mut FileWatch, waker: &Waker) -> bool {
        watch.poll_event(&mut Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn an_event_is_told_by_the_reactor_alone() {
        let (runtime, file) = (runtime(), NamedTempFile::new().unwrap());
        let [mut first, mut second] = [(); 2].map(|()| listening(&runtime, &file));
        assert!(!poll(&mut first, Waker::noop()));
        touch(&file);
        runtime.block_on(next(&mut second)).unwrap();
        touch(&file);
        runtime.block_on(next(&mut second)).unwrap();
        assert!(poll(&mut first, Waker::noop()));
    }

    #[test]
    fn every_wait_of_a_runtime_that_is_shut_down_gets_another_driver() {
        let (gone, other) = (runtime(), runtime());
        let file = NamedTempFile::new().unwrap();
        let mut waits = [(); 2].map(|()| listening(&gone, &file));
        let handle = gone.handle().clone();
        drop(gone);
        {
            let _entered = handle.enter();
            let another = FileWatch::start(file.path(), Symlinks::NoFollow);
            assert!(another.is_none(), "there is nothing to wait for there");
        }
        for watch in &mut waits {
            other.block_on(next(watch)).unwrap_err();
            *watch = listening(&other, &file);
        }
        touch(&file);
        for watch in &mut waits {
            other.block_on(next(watch)).unwrap();
        }
    }

    #[test]
    fn who_left_last_leaves_what_was_not_read_to_other_runtimes() {
        let (one, other) = (runtime(), runtime());
        let files = [(); 2].map(|()| NamedTempFile::new().unwrap());
        let left = listening(&one, &files[0]);
        let mut stays = listening(&other, &files[1]);
        files.iter().for_each(touch);
        drop(left);
        // The wait is notified although its reactor has not run.
        assert!(poll(&mut stays, Waker::noop()));
    }

    #[test]
    fn a_waker_may_end_waits() {
        struct Ends(Mutex<Vec<FileWatch>>);

        impl Wake for Ends {
            fn wake(self: Arc<Self>) {
                self.0.lock().unwrap().clear();
            }
        }

        let (runtime, file) = (runtime(), NamedTempFile::new().unwrap());
        let mut waits = [(); 3].map(|()| listening(&runtime, &file));
        let waker = Arc::new(Ends(Mutex::new(Vec::new())));
        for watch in &mut waits {
            assert!(!poll(watch, &Waker::from(waker.clone())));
        }
        waker.0.lock().unwrap().extend(waits);
        touch(&file);
        let has_ended = || waker.0.lock().unwrap().is_empty();
        runtime.block_on(async {
            while !has_ended() {
                tokio::task::yield_now().await;
            }
        });
        runtime.block_on(async {
            let mut watch = FileWatch::start(file.path(), Symlinks::NoFollow).unwrap();
            touch(&file);
            next(&mut watch).await.unwrap();
        });
    }

    #[test]
    fn a_task_that_has_done_much_can_begin_to_wait() {
        let (runtime, file) = (runtime(), NamedTempFile::new().unwrap());
        // Outside of the runtime, no budget of tokio delays the wake-up until the task has yielded.
        let _entered = runtime.enter();
        let local = LocalSet::new();
        let task = local.spawn_local(async move {
            while has_budget_remaining() {
                consume_budget().await;
            }
            FileWatch::start(file.path(), Symlinks::NoFollow).is_some()
        });
        let mut task = pin!(local.run_until(task));
        let mut cx = Context::from_waker(Waker::noop());
        let waits = loop {
            if let Poll::Ready(waits) = task.as_mut().poll(&mut cx) {
                break waits;
            }
        };
        assert!(waits.unwrap());
    }

    #[test]
    fn a_driver_that_cannot_keep_up_ends_and_tells_all_others() {
        /// Returns as many events as are asked for.
        #[derive(Default)]
        struct Storm {
            reads: AtomicU64,
            is_closed: AtomicBool,
        }

        impl Source for Storm {
            fn poll_events(&self, _: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>> {
                self.reads.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Ok(vec![Event::At(1)]))
            }

            fn close(&self) {
                self.is_closed.store(true, Ordering::Relaxed);
            }
        }

        let waiters = Mutex::new(Registry::new());
        let [here, elsewhere] = [1, 2].map(|driver| waiters.with(|all| all.add(9, driver)));
        let storm = Storm::default();
        let mut cx = Context::from_waker(Waker::noop());
        registry::dispatch(&waiters, 1, &storm, &mut cx);
        assert!(storm.reads.load(Ordering::Relaxed) < 100);
        assert!(storm.is_closed.load(Ordering::Relaxed));
        let mut poll = |waiter| registry::poll(&waiters, waiter, &mut cx);
        let Poll::Ready(Err(ended)) = poll(here) else {
            panic!("its events have ended");
        };
        assert_eq!(ended.kind(), io::ErrorKind::ResourceBusy);
        assert!(matches!(poll(elsewhere), Poll::Ready(Ok(()))));
    }
}
