//! Opening handles and polling futures by hand.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use touchfile_core::{LockBackend, LockHandle, LockMode, OpenOptions};
use touchfile_mock::{MockBackend, MockHandle, World};

pub(crate) const PATH: &str = "/a.lock";

/// Runs a future without a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

pub(crate) fn open_at(backend: &MockBackend, path: &str) -> MockHandle {
    block_on(backend.open(path.as_ref(), &OpenOptions::new())).unwrap()
}

pub(crate) fn open_in(backend: &MockBackend) -> MockHandle {
    open_at(backend, PATH)
}

/// A handle of this process on [`PATH`].
pub(crate) fn open(world: &World, process: &str) -> MockHandle {
    open_in(&world.process(process))
}

/// A handle that holds the lock.
pub(crate) fn hold(world: &World, process: &str, mode: LockMode) -> MockHandle {
    let mut handle = open(world, process);
    block_on(handle.lock(mode)).unwrap();
    handle
}

/// A waker that notes its call.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future that only the test polls.
pub(crate) struct ByHand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    woken: Arc<Flag>,
}

impl<'a, T> ByHand<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::default(),
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<T> {
        self.woken.clear();
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Whether it was woken since the last poll.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.is_set()
    }
}

/// A future that was polled once and is pending.
pub(crate) fn pending<'a, T>(future: impl Future<Output = T> + 'a) -> ByHand<'a, T> {
    let mut future = ByHand::new(future);
    assert!(future.poll().is_pending(), "it should have to wait");
    future
}

/// The output of a future that is ready at its first poll.
pub(crate) fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it should be ready"),
    }
}
