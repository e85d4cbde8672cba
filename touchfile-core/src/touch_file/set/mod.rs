//! Several locks at once: in one order, all or none.

mod blocking;
mod guard;
mod order;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use blocking::{BlockingLockSet, BlockingLockSetGuard};
pub use guard::LockSetGuard;

use super::acquire::MAX_REPLACED;
use super::{TouchFile, acquire};
use crate::{Error, LockBackend, LockHandle, LockMode, Result};

/// Locks that are taken together: all of them, or none.
///
/// Two programs deadlock if each holds a lock for which the other waits. They cannot if both take their
/// locks in one order, and this is the order of what is locked: for files that of their identities
/// ([`LockHandle::identity`](crate::LockHandle::identity)), whatever their names, the order in which they
/// were added, and the directory that a program is in. It is that of `touchfile run` with several lock
/// files, too. Who takes one of the locks by itself while it holds another is outside of this order, and
/// can still deadlock.
///
/// Files that are missing are created to find out their order. If a file turns out to have been replaced,
/// all locks are released and taken anew.
///
/// Byte ranges of one file are locks like others, in the order of their text, and must not overlap: this
/// would wait for itself.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), touchfile_core::Error> {
/// use std::time::Duration;
/// use touchfile_core::{LockSet, TouchFile};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let from = TouchFile::new(backend.clone(), "/accounts/1.lock")?;
/// let to = TouchFile::new(backend.clone(), "/accounts/2.lock")?;
/// let rates = TouchFile::new(backend, "/rates.lock")?;
///
/// let transfer = LockSet::new().exclusive(from).exclusive(to).shared(rates);
/// let guards = transfer.lock_timeout(Duration::from_secs(5)).await?;
/// assert!(guards[0].path().ends_with("1.lock"));
/// guards.unlock().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a set locks nothing until it is told to"]
pub struct LockSet<B: LockBackend> {
    wanted: Vec<(Arc<TouchFile<B>>, LockMode)>,
}

impl<B: LockBackend> LockSet<B> {
    /// A set without locks.
    pub const fn new() -> Self {
        Self { wanted: Vec::new() }
    }

    /// Adds a lock in `mode`. The same file must not be added twice, by whatever names.
    pub fn with(mut self, touch: impl Into<Arc<TouchFile<B>>>, mode: LockMode) -> Self {
        self.wanted.push((touch.into(), mode));
        self
    }

    /// Adds an exclusive lock: [`with`](Self::with) in short.
    pub fn exclusive(self, touch: impl Into<Arc<TouchFile<B>>>) -> Self {
        self.with(touch, LockMode::Exclusive)
    }

    /// Adds a shared lock: [`with`](Self::with) in short.
    pub fn shared(self, touch: impl Into<Arc<TouchFile<B>>>) -> Self {
        self.with(touch, LockMode::Shared)
    }

    /// The same methods for threads without a runtime.
    pub fn blocking(&self) -> BlockingLockSet<'_, B> {
        BlockingLockSet::new(self)
    }

    /// Waits for all locks.
    ///
    /// It waits for as long as that takes, or for the shortest of the touch files'
    /// [default timeouts](crate::TouchFileBuilder::timeout).
    ///
    /// # Errors
    ///
    /// Those of [`TouchFile::lock`] for the first lock that cannot be had, and
    /// [`Error::InvalidPath`] if a file was added twice. No lock is held then.
    ///
    /// # Panics
    ///
    /// As [`TouchFile::lock`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases what it has taken, and leaves nothing behind.
    pub async fn lock(&self) -> Result<LockSetGuard<B>> {
        self.lock_at_most(self.default_timeout()).await
    }

    /// Waits for all locks, no longer than `timeout` in all.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock). [`Error::Timeout`] is about the lock that was waited for when the time was
    /// over; what it says was `waited` is all of the time.
    ///
    /// # Panics
    ///
    /// As [`TouchFile::lock`].
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use touchfile_core::{LockMode, LockSet, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touches = ["/a.lock", "/b.lock"].map(|path| TouchFile::new(backend.clone(), path));
    /// let [a, b] = touches.map(|touch| Arc::new(touch.unwrap()));
    /// let both = LockSet::new().exclusive(b.clone()).exclusive(a.clone());
    ///
    /// let _held = b.lock_exclusive().await?;
    /// let error = both.lock_timeout(Duration::from_secs(5)).await.unwrap_err();
    /// assert!(error.is_timeout());
    /// assert!(a.try_lock(LockMode::Exclusive).await?.is_some()); // none is held
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_timeout(&self, timeout: Duration) -> Result<LockSetGuard<B>> {
        self.lock_at_most(Some(timeout)).await
    }

    /// Waits for all locks until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Panics
    ///
    /// As [`TouchFile::lock`].
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    pub async fn lock_until(&self, deadline: impl Into<Instant>) -> Result<LockSetGuard<B>> {
        let timeout = deadline.into().saturating_duration_since(Instant::now());
        self.lock_at_most(Some(timeout)).await
    }

    /// Takes all locks, or returns `None` if any of them is not free.
    ///
    /// # Errors
    ///
    /// Those of [`TouchFile::try_lock`], and [`Error::InvalidPath`] if a file was added twice. No lock is
    /// held then.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{LockSet, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let a = TouchFile::new(backend.clone(), "/a.lock")?;
    /// let b = TouchFile::new(backend, "/b.lock")?;
    /// let both = LockSet::new().shared(a).exclusive(b);
    /// let held = both.try_lock().await?;
    /// assert!(held.is_some());
    /// assert!(both.try_lock().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_lock(&self) -> Result<Option<LockSetGuard<B>>> {
        self.acquire(Patience::None).await
    }

    async fn lock_at_most(&self, timeout: Option<Duration>) -> Result<LockSetGuard<B>> {
        let began = Instant::now();
        let patience = match timeout {
            Some(time) => Patience::Time { began, time },
            None => Patience::Unlimited,
        };
        match self.acquire(patience).await {
            Ok(held) => Ok(held.expect("a wait ends with the locks or an error")),
            Err(mut error) => {
                if let Error::Timeout { waited, .. } = &mut error {
                    *waited = began.elapsed();
                }
                Err(error)
            }
        }
    }

    /// Takes all locks, in one order. Returns `None` only without patience.
    async fn acquire(&self, patience: Patience) -> Result<Option<LockSetGuard<B>>> {
        let mut replaced = None;
        for _ in 0..MAX_REPLACED {
            let order = order::find(&self.wanted, patience).await?;
            let mut held = LockSetGuard::new(self.wanted.len());
            replaced = None;
            for (index, identity) in order {
                let (touch, mode) = &self.wanted[index];
                let guard = match patience {
                    Patience::None => acquire::try_lock(touch.clone(), *mode).await?,
                    _ => Some(acquire::lock(touch.clone(), *mode, patience.left()).await?),
                };
                let Some(guard) = guard else {
                    return Ok(None);
                };
                // Others may lock what is there by now in another order.
                if guard.handle().and_then(LockHandle::identity) != identity {
                    replaced = Some(touch.path().to_owned());
                    break;
                }
                held.push(index, guard);
            }
            if replaced.is_none() {
                return Ok(Some(held));
            }
        }
        Err(Error::Replaced {
            path: replaced.unwrap_or_default(),
            times: MAX_REPLACED,
        })
    }

    fn default_timeout(&self) -> Option<Duration> {
        let timeouts = self.wanted.iter().filter_map(|(touch, _)| touch.timeout);
        timeouts.min()
    }
}

impl<B: LockBackend> Default for LockSet<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// How long all locks are waited for.
#[derive(Clone, Copy)]
enum Patience {
    /// They are only tried.
    None,
    Time {
        began: Instant,
        time: Duration,
    },
    Unlimited,
}

impl Patience {
    /// The time that is left, if it is limited.
    fn left(self) -> Option<Duration> {
        match self {
            Self::Time { began, time } => Some(time.saturating_sub(began.elapsed())),
            Self::None | Self::Unlimited => None,
        }
    }
}
