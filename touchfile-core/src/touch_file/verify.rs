//! Whether a lock that is held is still worth something.

use std::io;
use std::ops::Deref;
use std::time::Duration;

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
    ///
    /// An answer is about a moment that is over when it arrives. Only what the lock protects can refuse
    /// everything that is done without it.
    ///
    /// # Errors
    ///
    /// - [`Error::Lost`] if the lock is lost, or its file is not the one at the path.
    /// - [`Error::Transient`] if nobody answered within eight seconds: then it is not known.
    /// - [`Error::Unsupported`] if the backend can tell neither, which
    ///   [its identity claim](crate::Capabilities::identity) says.
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
        let error = |source| touch.error(Operation::Verify, source);
        let check = async {
            if handle.is_lost().await? {
                return Ok(Some(Loss::Revoked));
            }
            if !touch.backend.capabilities().identity {
                let unknown = "it cannot tell whether the path still names the locked file";
                return Err(io::Error::new(io::ErrorKind::Unsupported, unknown));
            }
            let current = handle.is_current(&touch.path).await?;
            Ok((!current).then_some(Loss::Replaced))
        };
        match runtime::timeout(ANSWER_TIMEOUT, check).await {
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(loss))) => Err(Error::Lost {
                path: touch.path.clone(),
                mode: self.mode,
                loss,
            }),
            Some(Err(source)) => Err(error(source)),
            None => Err(error(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the file system has not answered for {ANSWER_TIMEOUT:?}"),
            ))),
        }
    }

    /// Waits until the lock turns out to be lost, and returns what [`verify`](Self::verify) says of
    /// that. It verifies at once, and then each `interval` (a millisecond at least).
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
    /// # assert_eq!(began.elapsed().as_secs(), 10);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lost(&self, interval: Duration) -> Error {
        let interval = interval.max(Duration::from_millis(1));
        loop {
            match self.verify().await {
                Ok(()) => {}
                Err(error @ Error::Transient { .. }) => {
                    let path = self.path().display();
                    debug!(target: "touchfile", %path, %error, "not known whether the lock is held");
                }
                Err(error) => return error,
            }
            runtime::sleep(interval).await;
        }
    }
}
