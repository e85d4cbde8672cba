//! Whether a lock that is held is still worth something.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::ops::Deref;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::trace::debug;

use super::TouchFile;
use super::guard::Guard;
use crate::{Error, LockBackend, Loss, Operation, Result, runtime};

/// How long an answer is waited for. It is shorter than any lease on a lock that is in use: the lease
/// of Linux's NFS server is 90 s by default, and 10 s at least.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

impl<T, B> Guard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    /// Checks that the lock is still held and that its path still names the locked file.
    ///
    /// A local lock cannot be taken away, but its file can be removed or replaced: then others
    /// lock the new one. On a network file system the lock itself can be lost as well, when the
    /// server has not heard of this host for longer than a lease, or was started anew.
    ///
    /// `Ok` means that nothing is known against it. What can be known depends on the file system:
    ///
    /// | | file removed or replaced | lock lost |
    /// |---|---|---|
    /// | local | noticed | cannot happen |
    /// | NFS 4 | noticed | noticed once the server can be reached again |
    /// | NFS 3 | noticed | **not noticed**: its client is not told and cannot ask |
    /// | SMB, FUSE, other network file systems | noticed | **not noticed** |
    /// | a backend that claims [`loss`](crate::Capabilities::loss) | if it claims [`identity`](crate::Capabilities::identity) | noticed |
    ///
    /// An answer is about a moment that is over when it arrives. Only what the lock protects can refuse
    /// everything that is done without it.
    ///
    /// # Errors
    ///
    /// - [`Error::Lost`] if the lock is lost, or its file is not the one at the path.
    /// - [`Error::Transient`] if nobody answered within eight seconds: then it is not known. A lock that
    ///   is [granted for a time](Self::valid_until) is lost when that time is over.
    /// - [`Error::Unsupported`] if the backend can tell neither, which its claims of
    ///   [identity](crate::Capabilities::identity) and [loss](crate::Capabilities::loss) say.
    /// - What else keeps the question from being answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing; the lock is held on.
    ///
    /// # Platform-specific behavior
    ///
    /// On NFS it costs three round trips to the server, one of which is the read of a block of the
    /// lock file. On a mount with the option `soft`, a server that does not answer is
    /// taken for a loss.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{Error, TouchFile};
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/some/where/a.lock")?;
    /// let guard = touch.lock_exclusive().await?;
    /// guard.verify().await?;
    /// world.lose_lock("/some/where/a.lock"); // as a server of NFS does when a lease runs out
    /// assert!(matches!(guard.verify().await.unwrap_err(), Error::Lost { .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn verify(&self) -> Result<()> {
        let Some(handle) = &self.handle else {
            return Ok(());
        };
        let touch = &self.touch;
        let claims = touch.backend.capabilities();
        let error = |source| touch.error(Operation::Verify, source);
        let until = self.valid_until();
        if is_over(until) {
            return Err(self.is_lost(Loss::Expired));
        }
        let check = async {
            if handle.is_lost().await? {
                return Ok(Some(loss(until)));
            }
            if !claims.identity {
                return if claims.loss { Ok(None) } else { Err(untold()) };
            }
            let current = handle.is_current(&touch.path).await?;
            Ok((!current).then_some(Loss::Replaced))
        };
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let patience = left.map_or(ANSWER_TIMEOUT, |left| left.min(ANSWER_TIMEOUT));
        match runtime::timeout(patience, check).await {
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(loss))) => Err(self.is_lost(loss)),
            Some(Err(source)) => Err(error(source)),
            // It may have been confirmed meanwhile.
            None if is_over(self.valid_until()) => Err(self.is_lost(Loss::Expired)),
            None => Err(error(unanswered(patience))),
        }
    }

    /// Waits until the lock turns out to be lost, and returns what [`verify`](Self::verify) says of
    /// that.
    ///
    /// Where the backend is told of a loss, so is this ([`LockHandle::lost`](crate::LockHandle::lost)), and
    /// the end of the time for which the lock [is granted](Self::valid_until) is one. For all else it asks
    /// at once, and then each `interval` (a millisecond at least).
    ///
    /// An answer that does not come does not end the wait, as the outage may pass with the lock still
    /// held. To stop in that case, call [`verify`](Self::verify) in a loop of your own. What `verify`
    /// cannot notice, this does not notice.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing; the lock is held on.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::time::Duration;
    /// use touchfile_core::{Error, TouchFile};
    /// use touchfile_mock::World;
    ///
    /// # async fn work() { tokio::time::sleep(Duration::from_secs(3600)).await }
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/some/where/a.lock")?;
    /// let guard = touch.lock_exclusive().await?;
    /// # let thief = world.clone();
    /// # tokio::spawn(async move {
    /// #     tokio::time::sleep(Duration::from_secs(7)).await;
    /// #     thief.lose_lock("/some/where/a.lock");
    /// # });
    /// # let began = tokio::time::Instant::now();
    /// tokio::select! {
    ///     () = work() => guard.unlock().await?,
    ///     // `work` has been dropped: nothing more is done without the lock.
    ///     lost = guard.lost(Duration::from_secs(5)) => assert!(matches!(lost, Error::Lost { .. }), "{lost:?}"),
    /// }
    /// # assert_eq!(began.elapsed().as_secs(), 7);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lost(&self, interval: Duration) -> Error {
        let interval = interval.max(Duration::from_millis(1));
        let claims = self.touch.backend.capabilities();
        if !claims.identity && !claims.loss {
            return self.touch.error(Operation::Verify, untold());
        }
        let (mut taken, mut replaced) = (pin!(self.taken(interval)), pin!(self.replaced(interval)));
        let mut expired = pin!(self.expired());
        poll_fn(|cx| {
            if let Poll::Ready(error) = expired.as_mut().poll(cx) {
                return Poll::Ready(error);
            }
            if let Poll::Ready(error) = taken.as_mut().poll(cx) {
                return Poll::Ready(error);
            }
            replaced.as_mut().poll(cx)
        })
        .await
    }

    /// Waits until the lock was taken away.
    async fn taken(&self, interval: Duration) -> Error {
        let Some(handle) = &self.handle else {
            return pending().await;
        };
        loop {
            match handle.lost(interval).await {
                Ok(()) => return self.lost_until(self.valid_until()),
                Err(source) => {
                    if let Some(error) = self.ends_with(source) {
                        return error;
                    }
                }
            }
            runtime::sleep(interval).await;
        }
    }

    /// Waits until the path names another file.
    async fn replaced(&self, interval: Duration) -> Error {
        let Some(handle) = &self.handle else {
            return pending().await;
        };
        if !self.touch.backend.capabilities().identity {
            return pending().await;
        }
        loop {
            let current = handle.is_current(&self.touch.path);
            let current = runtime::timeout(ANSWER_TIMEOUT, current).await;
            match current.unwrap_or_else(|| Err(unanswered(ANSWER_TIMEOUT))) {
                Ok(true) => {}
                Ok(false) => return self.is_lost(Loss::Replaced),
                Err(source) => {
                    if let Some(error) = self.ends_with(source) {
                        return error;
                    }
                }
            }
            runtime::sleep(interval).await;
        }
    }

    /// Waits until the time for which the lock is granted is over.
    async fn expired(&self) -> Error {
        while let Some(until) = self.valid_until() {
            if is_over(Some(until)) {
                return self.is_lost(Loss::Expired);
            }
            runtime::sleep_until(until, false).await;
        }
        pending().await
    }

    /// The error that ends a wait for a loss; none for an outage, which may pass with the lock still held.
    fn ends_with(&self, source: io::Error) -> Option<Error> {
        let error = self.touch.error(Operation::Verify, source);
        if !error.is_transient() {
            return Some(error);
        }
        let path = self.path().display();
        debug!(target: "touchfile", %path, %error, "not known whether the lock is held");
        None
    }

    /// The error about a lock that was lost, and had been granted until this moment if until any.
    pub(super) fn lost_until(&self, valid_until: Option<Instant>) -> Error {
        self.is_lost(loss(valid_until))
    }

    fn is_lost(&self, loss: Loss) -> Error {
        Error::Lost {
            path: self.touch.path.clone(),
            mode: self.mode,
            loss,
        }
    }
}

/// How a lock was lost that had been granted for this time.
fn loss(valid_until: Option<Instant>) -> Loss {
    if is_over(valid_until) {
        Loss::Expired
    } else {
        Loss::Revoked
    }
}

fn is_over(valid_until: Option<Instant>) -> bool {
    valid_until.is_some_and(|until| until <= Instant::now())
}

fn untold() -> io::Error {
    let why = "it can tell neither of a loss nor whether the path still names the locked file";
    io::Error::new(io::ErrorKind::Unsupported, why)
}

fn unanswered(patience: Duration) -> io::Error {
    let why = format!("there was no answer for {patience:?}");
    io::Error::new(io::ErrorKind::TimedOut, why)
}
