//! Changing the mode of a lock without ever letting go of it.

use std::io;

use async_trait::async_trait;

use crate::{Attempt, LockHandle};

/// A handle that can change the mode of the lock it holds, and hold it all the while.
///
/// Not every way of locking can: flock(2) converts by letting go first, and a failed upgrade loses
/// the lock ("Converting a lock … is not guaranteed to be atomic"). A backend whose handles have
/// this trait claims [`Capabilities::atomic_conversion`](crate::Capabilities), and its handles
/// [say so](LockHandle::convertible) behind a pointer too. Users have it as
/// [`Guard::downgrade`](crate::Guard::downgrade) and
/// [`Guard::try_upgrade`](crate::Guard::try_upgrade).
///
/// In a forked child both methods leave the parent's lock as it is, and refuse with
/// [`io::ErrorKind::InvalidInput`] (law 6).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use touchfile_core::LockMode::{Exclusive, Shared};
/// use touchfile_core::{Attempt, ConvertLock, LockBackend, LockHandle, OpenOptions};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let path = "/some/where/a.lock".as_ref();
/// let mut writer = backend.open(path, &OpenOptions::new()).await?;
/// writer.lock(Exclusive).await?;
/// // … write …
/// writer.downgrade().await?; // nobody else can have written in between
///
/// let mut reader = backend.open(path, &OpenOptions::new()).await?;
/// assert_eq!(reader.try_lock(Shared).await?, Attempt::Acquired);
/// assert_eq!(writer.try_upgrade().await?, Attempt::WouldBlock); // and it is shared still
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait ConvertLock: LockHandle {
    /// Makes the exclusive lock a shared one. A shared one stays as it is.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if nothing is held; else what the operating system says.
    /// The lock is held as before.
    ///
    /// # Cancel safety
    ///
    /// After a dropped future the lock is held, in the one mode or the other: call it again.
    async fn downgrade(&mut self) -> io::Result<()>;

    /// Makes the shared lock an exclusive one, if nobody shares it. An exclusive one stays as it
    /// is.
    ///
    /// It does not wait: two shared holders that waited for each other to go would wait for ever.
    /// After [`Attempt::WouldBlock`] the shared lock is held as before.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if nothing is held; else what the operating system says.
    /// The lock is held as before.
    ///
    /// # Cancel safety
    ///
    /// After a dropped future the lock is held, in the one mode or the other: call it again, or
    /// [`downgrade`](Self::downgrade).
    async fn try_upgrade(&mut self) -> io::Result<Attempt>;
}

/// The handles of a [`BoxBackend`](crate::BoxBackend): if the handle inside cannot convert, it is refused
/// with [`io::ErrorKind::Unsupported`].
#[async_trait]
impl ConvertLock for dyn LockHandle {
    async fn downgrade(&mut self) -> io::Result<()> {
        match self.convertible() {
            Some(handle) => handle.downgrade().await,
            None => Err(unsupported()),
        }
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        match self.convertible() {
            Some(handle) => handle.try_upgrade().await,
            None => Err(unsupported()),
        }
    }
}

#[async_trait]
impl<H: ConvertLock + ?Sized> ConvertLock for Box<H> {
    async fn downgrade(&mut self) -> io::Result<()> {
        (**self).downgrade().await
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        (**self).try_upgrade().await
    }
}

pub(crate) fn unsupported() -> io::Error {
    let why = "it cannot change the mode of a lock without letting go of it";
    io::Error::new(io::ErrorKind::Unsupported, why)
}
