//! The correct backend, and two ways to add a fault: in its system calls or in its handles.

use std::fs::File;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use touchfile_core::{
    Attempt, BoxBackend, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions, Platform,
};
use touchfile_file::{FileHandle, RawFileLock};

pub(super) use crate::flock::{Flock, Honest, honest_claims};

/// Blocks the thread until the lock is held.
pub(super) fn block_on_flock(file: &File, mode: LockMode) -> io::Result<()> {
    let operation = match mode {
        LockMode::Exclusive => FlockOperation::LockExclusive,
        LockMode::Shared => FlockOperation::LockShared,
    };
    Ok(rustix::io::retry_on_intr(|| flock(file, operation))?)
}

/// What is wrong with a backend: its claims, how it opens handles, or what its handles do.
pub(super) trait Fault: std::fmt::Debug + Send + Sync + 'static {
    type Handle: LockHandle;

    fn capabilities(&self) -> Capabilities {
        honest_claims()
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle>;
}

/// A backend with this fault.
pub(super) fn with_fault(name: &'static str, fault: impl Fault) -> BoxBackend {
    BoxBackend::new(Faulty { name, fault })
}

#[derive(Debug)]
struct Faulty<F> {
    name: &'static str,
    fault: F,
}

#[async_trait]
impl<F: Fault> LockBackend for Faulty<F> {
    type Handle = F::Handle;

    fn name(&self) -> &'static str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.fault.capabilities()
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<F::Handle> {
        self.fault.open(path, options)
    }

    fn platform(&self) -> &'static dyn Platform {
        touchfile_file::platform()
    }
}

/// A fault in the system calls.
#[derive(Debug)]
pub(super) struct InCalls<R>(pub(super) R);

impl<R: RawFileLock + Clone> Fault for InCalls<R> {
    type Handle = FileHandle<R>;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        FileHandle::open(self.0.clone(), path, options)
    }
}

/// A fault in what a handle does. A fault overrides one or more methods.
#[async_trait]
pub(super) trait Twist: std::fmt::Debug + Default + Send + Sync + 'static {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        honest.try_lock(mode).await
    }

    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        honest.lock(mode).await
    }

    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        honest.unlock().await
    }

    async fn is_current(&self, honest: &Honest, path: &Path) -> io::Result<bool> {
        honest.is_current(path).await
    }

    fn token(&self) -> Option<u64> {
        None
    }

    fn drop(&mut self, honest: Honest) {
        drop(honest);
    }
}

/// The fault of a backend whose handles have this twist.
#[derive(Debug, Default)]
pub(super) struct InHandles<T>(std::marker::PhantomData<T>);

/// A backend whose handles have this twist.
pub(super) fn with_twist<T: Twist>(name: &'static str) -> BoxBackend {
    with_fault(name, InHandles::<T>(std::marker::PhantomData))
}

impl<T: Twist> Fault for InHandles<T> {
    type Handle = Twisted<T>;

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Twisted<T>> {
        Ok(Twisted::new(
            FileHandle::open(Flock, path, options)?,
            T::default(),
        ))
    }
}

/// A correct handle with a twist.
#[derive(Debug)]
pub(super) struct Twisted<T: Twist> {
    /// It is there until this is dropped.
    honest: Option<Honest>,
    twist: T,
}

const UNTIL_DROPPED: &str = "the honest handle is there until this one is dropped";

impl<T: Twist> Twisted<T> {
    pub(super) fn new(honest: Honest, twist: T) -> Self {
        Self {
            honest: Some(honest),
            twist,
        }
    }
}

#[async_trait]
impl<T: Twist> LockHandle for Twisted<T> {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        let honest = self.honest.as_mut().expect(UNTIL_DROPPED);
        self.twist.try_lock(honest, mode).await
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        let honest = self.honest.as_mut().expect(UNTIL_DROPPED);
        self.twist.lock(honest, mode).await
    }

    async fn unlock(&mut self) -> io::Result<()> {
        let honest = self.honest.as_mut().expect(UNTIL_DROPPED);
        self.twist.unlock(honest).await
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        let honest = self.honest.as_ref().expect(UNTIL_DROPPED);
        self.twist.is_current(honest, path).await
    }

    fn token(&self) -> Option<u64> {
        self.twist.token()
    }
}

impl<T: Twist> Drop for Twisted<T> {
    fn drop(&mut self) {
        if let Some(honest) = self.honest.take() {
            self.twist.drop(honest);
        }
    }
}
