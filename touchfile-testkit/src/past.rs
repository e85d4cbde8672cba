//! What can have happened to a handle before it is tested.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use touchfile_core::LockMode::{self, Exclusive};
use touchfile_core::{Attempt, LockHandle};

use crate::Law;
use crate::handles::{Handle, poll_once, poll_times};

/// What has happened to a handle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Past {
    Nothing,
    /// It was asked for a lock while it held one.
    AskedAgain,
    FailedTry,
    GivenUpWait,
    /// It has taken the lock 64 times.
    ManyLocks,
    Wait,
}

/// An answer that no correct backend gives while a past is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Misstep {
    /// A free lock was busy.
    Busy,
    /// A lock that another handle holds was granted.
    Granted,
    /// A lock that is free was not granted in time.
    Late,
    /// Dropping a handle panicked.
    Panicked,
}

impl Past {
    /// The past as a clause of a sentence.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::AskedAgain => ", after it was asked for a lock while it held one",
            Self::FailedTry => ", after an attempt that failed",
            Self::GivenUpWait => ", after a wait that was given up",
            Self::ManyLocks => ", after 64 locks",
            Self::Wait => ", after a wait",
        }
    }

    /// Gives this past to a handle. Both handles are idle, before and after.
    ///
    /// # Errors
    ///
    /// Those of locking, and a [`Misstep`].
    pub(crate) async fn make(
        self,
        handle: &mut Handle,
        holder: &mut Handle,
        mode: LockMode,
        limit: Duration,
    ) -> io::Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::AskedAgain => {
                acquire(handle, mode).await?;
                // Other cases judge this answer.
                drop(handle.try_lock(mode).await);
                handle.unlock().await
            }
            Self::FailedTry => fail_to_lock(handle, holder, mode).await,
            Self::GivenUpWait => give_up(handle, holder, mode).await,
            Self::ManyLocks => lock_many_times(handle, mode).await,
            Self::Wait => {
                wait(handle, holder, mode, limit).await?;
                handle.unlock().await
            }
        }
    }
}

/// Takes a free lock.
pub(crate) async fn acquire(handle: &mut Handle, mode: LockMode) -> io::Result<()> {
    match handle.try_lock(mode).await? {
        Attempt::Acquired => Ok(()),
        Attempt::WouldBlock => Err(Misstep::Busy.into()),
    }
}

/// Tries to take a lock that `holder` holds.
pub(crate) async fn fail_to_lock(
    handle: &mut Handle,
    holder: &mut Handle,
    mode: LockMode,
) -> io::Result<()> {
    acquire(holder, Exclusive).await?;
    let attempt = handle.try_lock(mode).await?;
    holder.unlock().await?;
    match attempt {
        Attempt::WouldBlock => Ok(()),
        Attempt::Acquired => Err(Misstep::Granted.into()),
    }
}

/// Waits for a lock that `holder` holds, and gives up.
pub(crate) async fn give_up(
    handle: &mut Handle,
    holder: &mut Handle,
    mode: LockMode,
) -> io::Result<()> {
    acquire(holder, Exclusive).await?;
    if let Some(ended) = poll_times(2, handle.lock(mode)).await {
        ended?;
        return Err(Misstep::Granted.into());
    }
    holder.unlock().await
}

/// Waits for a lock that `holder` holds and releases. `handle` holds it in the end.
pub(crate) async fn wait(
    handle: &mut Handle,
    holder: &mut Handle,
    mode: LockMode,
    limit: Duration,
) -> io::Result<()> {
    acquire(holder, Exclusive).await?;
    let mut lock = pin!(handle.lock(mode));
    if let Poll::Ready(ended) = poll_once(lock.as_mut()).await {
        ended?;
        return Err(Misstep::Granted.into());
    }
    holder.unlock().await?;
    tokio::time::timeout(limit, lock)
        .await
        .map_err(|_| Misstep::Late)?
}

async fn lock_many_times(handle: &mut Handle, mode: LockMode) -> io::Result<()> {
    const TIMES: u32 = 64;
    /// A slow backend locks fewer times.
    const LONGEST: Duration = Duration::from_millis(500);
    let end = Instant::now() + LONGEST;
    for _ in 0..TIMES {
        if Instant::now() > end {
            break;
        }
        handle.lock(mode).await?;
        handle.unlock().await?;
    }
    Ok(())
}

impl Misstep {
    /// The misstep that an error is about, if it is one.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// The law that forbids this answer.
    pub(crate) fn law(self) -> Law {
        match self {
            Self::Busy => Law::NoFalseBusy,
            Self::Granted => Law::Exclusion,
            Self::Late => Law::Liveness,
            Self::Panicked => Law::Release,
        }
    }
}

impl fmt::Display for Misstep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "found the lock busy that nobody holds",
            Self::Granted => "got a lock that another handle holds",
            Self::Late => "did not get a lock that is free",
            Self::Panicked => "panicked",
        })
    }
}

impl Error for Misstep {}

impl From<Misstep> for io::Error {
    fn from(misstep: Misstep) -> Self {
        Self::other(misstep)
    }
}
