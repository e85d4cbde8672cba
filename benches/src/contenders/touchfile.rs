//! touchfile: each backend, async and blocking, with and without the check of identity.

use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use touchfile_core::{BlockingLockGuard, LockBackend, LockGuard, LockMode, TouchFile};
use touchfile_fcntl::FcntlBackend;
use touchfile_flock::FlockBackend;

use super::{AsyncLock, Contender, Family, Lock, Mode, Participant, Waits};

pub(super) static CONTENDERS: &[Contender] = &[
    tasks::<FlockBackend, Verified>("touchfile flock, async", Family::Flock),
    threads::<FlockBackend, Verified>("touchfile flock, blocking", Family::Flock),
    cycle_only(tasks::<FlockBackend, Unverified>(
        "touchfile flock, async, verify off",
        Family::Flock,
    )),
    cycle_only(threads::<FlockBackend, Unverified>(
        "touchfile flock, blocking, verify off",
        Family::Flock,
    )),
    tasks::<FcntlBackend, Verified>("touchfile fcntl, async", Family::Fcntl),
    threads::<FcntlBackend, Verified>("touchfile fcntl, blocking", Family::Fcntl),
    cycle_only(tasks::<FcntlBackend, Unverified>(
        "touchfile fcntl, async, verify off",
        Family::Fcntl,
    )),
    cycle_only(threads::<FcntlBackend, Unverified>(
        "touchfile fcntl, blocking, verify off",
        Family::Fcntl,
    )),
];

const fn tasks<B: LockBackend + Default, V: Verify>(
    name: &'static str,
    family: Family,
) -> Contender {
    Contender {
        name,
        open: Participant::task::<Touch<B, V>>,
        family,
        waits: Waits::Task,
        shared: true,
        deadline: true,
        cycle_only: false,
    }
}

const fn threads<B: LockBackend + Default, V: Verify>(
    name: &'static str,
    family: Family,
) -> Contender {
    Contender {
        open: Participant::thread::<Touch<B, V>>,
        waits: Waits::Thread,
        ..tasks::<B, V>(name, family)
    }
}

const fn cycle_only(contender: Contender) -> Contender {
    Contender {
        cycle_only: true,
        ..contender
    }
}

trait Verify: Send + 'static {
    const ON: bool;
}

struct Verified;

impl Verify for Verified {
    const ON: bool = true;
}

struct Unverified;

impl Verify for Unverified {
    const ON: bool = false;
}

struct Touch<B: LockBackend, V> {
    touch: Arc<TouchFile<B>>,
    _verify: PhantomData<V>,
}

impl<B: LockBackend + Default, V: Verify> Touch<B, V> {
    fn new(path: &Path) -> io::Result<Self> {
        let builder = TouchFile::builder(B::default()).path(path).verify(V::ON);
        Ok(Self {
            touch: Arc::new(builder.build().map_err(io::Error::other)?),
            _verify: PhantomData,
        })
    }

    fn another(&self) -> Self {
        Self {
            touch: self.touch.clone(),
            _verify: PhantomData,
        }
    }
}

impl<B: LockBackend + Default, V: Verify> Lock for Touch<B, V> {
    type Guard<'a> = BlockingLockGuard<'a, B>;

    fn open(path: &Path) -> io::Result<Self> {
        Self::new(path)
    }

    fn lock(&mut self, mode: Mode) -> io::Result<BlockingLockGuard<'_, B>> {
        let lock = self.touch.blocking().lock(mode.into());
        lock.map_err(io::Error::other)
    }

    fn lock_timeout(
        &mut self,
        mode: Mode,
        timeout: Duration,
    ) -> io::Result<Option<BlockingLockGuard<'_, B>>> {
        match self.touch.blocking().lock_timeout(mode.into(), timeout) {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if error.is_timeout() => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn unlock(guard: BlockingLockGuard<'_, B>) -> io::Result<()> {
        guard.unlock().map_err(io::Error::other)
    }

    fn share(&self) -> Option<Self> {
        Some(self.another())
    }
}

impl<B: LockBackend + Default, V: Verify> AsyncLock for Touch<B, V> {
    type Guard<'a> = LockGuard<'a, B>;

    fn open(path: &Path) -> io::Result<Self> {
        Self::new(path)
    }

    async fn lock(&mut self, mode: Mode) -> io::Result<LockGuard<'_, B>> {
        self.touch.lock(mode.into()).await.map_err(io::Error::other)
    }

    async fn lock_timeout(
        &mut self,
        mode: Mode,
        timeout: Duration,
    ) -> io::Result<Option<LockGuard<'_, B>>> {
        match self.touch.lock_timeout(mode.into(), timeout).await {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if error.is_timeout() => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    async fn unlock(guard: <Self as AsyncLock>::Guard<'_>) -> io::Result<()> {
        guard.unlock().await.map_err(io::Error::other)
    }

    fn share(&self) -> Option<Self> {
        Some(self.another())
    }
}

impl From<Mode> for LockMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Exclusive,
            Mode::Shared => Self::Shared,
        }
    }
}
