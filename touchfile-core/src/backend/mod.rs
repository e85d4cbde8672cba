//! The two traits a way of locking implements, and the laws it keeps.

mod convert;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub use convert::ConvertLock;
pub(crate) use convert::unsupported;

use crate::backoff::Backoff;
use crate::runtime;
use crate::{
    Attempt, Capabilities, Guarantee, Holder, LockMode, NoPlatform, OpenFile, OpenOptions, Platform,
};

/// A way of locking: flock(2), open-file-description locks, a simulator, or your own.
///
/// A backend opens [`LockHandle`]s; each handle can hold one lock at a time. Everything that
/// users like (queues, deadlines, identity checks, guards, tracing) is written once, in
/// [`TouchFile`](crate::TouchFile), over these two traits. A complete backend is in the
/// [crate documentation](crate#a-complete-backend).
///
/// # The laws
///
/// The traits are contracts; `touchfile-testkit` checks each of these.
///
/// 1. **Exclusion.** Exclusive conflicts with everything, shared with exclusive only; between
///    processes and between two handles of one process alike.
/// 2. **No false "busy".** [`Attempt::WouldBlock`] only if a conflicting holder existed at some
///    moment of the call. A mere waiter is no reason for it, but in
///    [`try_lock_fair`](LockHandle::try_lock_fair).
/// 3. **Acquired means acquired.** An `Err` or a dropped future leaves the handle holding
///    nothing, and nothing behind it (thread, process, descriptor) that takes the lock later.
/// 4. **Cancel safety.** Dropping a [`lock`](LockHandle::lock) future at any moment is safe and
///    prompt, and does not delay the next waiter.
/// 5. **Release.** [`unlock`](LockHandle::unlock), dropping the handle, process exit and SIGKILL
///    all release: the first two promptly, the latter two within [`death_lag`](Capabilities::death_lag).
///    `Drop` never panics and needs no runtime.
/// 6. **Fork and exec.** Handles are close-on-exec. A child that inherited one by fork and drops
///    it does not release the parent's lock; a child between fork and exec does not prolong it.
/// 7. **Identity.** A lock is on the file, users think of the path: after acquiring, `TouchFile`
///    asks [`is_current`](LockHandle::is_current) and starts over if the path names another file.
/// 8. **Liveness.** A waiter gets the lock soon after it is free, however the holder let go,
///    including a foreign program that does not use touchfile.
/// 9. **Errors are told apart.** Contention is not an error; transient, unsupported and fatal
///    failures have different [`std::io::ErrorKind`]s or OS error codes.
/// 10. **Fencing.** The [token](LockHandle::token) of an acquisition is greater than that of every
///     earlier acquisition of the same lock that conflicts with it, over processes, crashes and lost
///     locks. It is kept by backends that claim [`fencing`](Capabilities::fencing).
///
/// # In numbers
///
/// - *Does not wait*, *at once* and *prompt*: 50 ms, and ten times what an attempt at a free lock takes
///   the same backend at the same time, and by how much a thread wakes too late then that only sleeps.
///   The suite judges the median of some fifty calls of one kind, three times in a row: attempts, the
///   first poll of a wait, giving one up, unlocking and dropping the handle. Of single calls it
///   complains only if those of one kind take 300 ms again and again while no others do. So neither a
///   busy machine nor a backend that asks a server is accused.
/// - *Soon*, of a lock that is free: 500 ms and twenty times that, as a median; and each time within
///   `Suite::patience`, five seconds by default, which no machine is too busy for.
/// - A call that is refused may be refused at any poll, and a release may be confirmed late: a backend
///   may have to ask somebody.
/// - Of those who wait, whoever is not polled need not get the lock, and may keep those behind it from
///   getting it: waiters may stand in one line.
/// - Opening, locking and asking leave the contents, mode and times of a file as they are.
///
/// A backend that cannot keep a law says so in its [`Capabilities`], and asking for it is refused
/// with [`std::io::ErrorKind::Unsupported`].
#[async_trait]
pub trait LockBackend: fmt::Debug + Send + Sync + 'static {
    /// The handles that [`open`](Self::open) returns.
    type Handle: LockHandle;

    /// The short name users meet in errors, traces and on the command line, such as `flock`.
    fn name(&self) -> &'static str;

    /// What this backend promises; the same answer for the life of the value.
    fn capabilities(&self) -> Capabilities;

    /// Opens `path` for locking and takes no lock.
    ///
    /// # Errors
    ///
    /// Whatever keeps the file from being opened, and [`std::io::ErrorKind::Unsupported`] for an
    /// option this backend cannot honour. Nothing was created that was not asked for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no handle open; the file may have been created.
    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle>;

    /// A handle on a file that is open already, and takes no lock.
    ///
    /// All handles on one `file` are on one open file description, so they make their calls through
    /// [`OpenFile`]. There is no path: [`is_current`](LockHandle::is_current) answers whether the file
    /// has lost the last of its names since. It is asked for each handle, on a thread of its own if
    /// [`open_may_block`](Self::open_may_block) says so of the name that
    /// [`Platform::name_of`] finds. The provided method refuses.
    ///
    /// # Errors
    ///
    /// [`std::io::ErrorKind::Unsupported`] if this backend's locks are not on open files, and whatever
    /// keeps this one from being locked.
    fn adopt(&self, file: &OpenFile) -> io::Result<Self::Handle> {
        let _ = file;
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "its locks are not on files that are open already",
        ))
    }

    /// Who holds a lock on `path` that this backend's locks would conflict with, and who waits.
    ///
    /// The answer is for messages, such as that of a timeout. It may be incomplete, and out of date by
    /// the time it is read; nothing is decided by it. The provided method
    /// knows of nobody. Backends on real files have `touchfile_file::look_up_holders`.
    ///
    /// # Errors
    ///
    /// Whatever keeps the question from being answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing. `TouchFile` does so when the answer takes long, and
    /// polls it in an async task: do not block.
    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        let _ = path;
        Ok(Vec::new())
    }

    /// Whom this backend's locks on `path` can be expected to exclude.
    ///
    /// It may open the file for that, and block the thread for as long as that takes. The provided
    /// method answers that nothing is known.
    ///
    /// # Errors
    ///
    /// Whatever keeps the question from being answered.
    fn guarantee(&self, path: &Path) -> io::Result<Guarantee> {
        let _ = path;
        Ok(Guarantee::Unknown)
    }

    /// Whether [`open`](Self::open) may block its thread for long, as it may where `path` is on a
    /// network file system. `TouchFile` then opens on a thread of its own.
    ///
    /// It is asked before each opening, so it must be cheap, and must not block. The provided method
    /// asks the [platform](Self::platform).
    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        self.platform().open_may_block(path, options)
    }

    /// Whether opening and locking take a round trip to somebody else, such as a server, so that their
    /// futures are pending at first even where the lock is free. The same answer for the life of the value.
    ///
    /// A [`lock_timeout`](crate::TouchFile::lock_timeout) of zero then waits for the answer to its one
    /// attempt, for a second at most. It has nothing to do with [`open_may_block`](Self::open_may_block),
    /// which is about calls that block their thread. The provided method answers no.
    fn answers_later(&self) -> bool {
        false
    }

    /// The system that the names of this backend's locks belong to; the same answer for the life of
    /// the value.
    ///
    /// The provided method returns [`NoPlatform`]: a name is mere text. A backend on files of the
    /// operating system returns `touchfile_file::platform()`, which makes paths absolute, looks at
    /// their directories and knows which of them are on a network file system.
    fn platform(&self) -> &'static dyn Platform {
        &NoPlatform
    }
}

/// One acquisition's worth of a [`LockBackend`]: an open lock file that can hold one lock.
///
/// A handle holds nothing, or one lock. Asking a handle that holds a lock for another is refused
/// with [`std::io::ErrorKind::InvalidInput`], so that no call ever converts a lock somebody
/// relies on; unlocking one that holds nothing is `Ok`. Two handles exclude each other, in one
/// process as across processes. Dropping a handle releases what it holds.
///
/// The [laws](LockBackend#the-laws) hold for every method.
///
/// # Runtimes
///
/// The futures of a backend and its handles are polled in any tokio runtime, which may be one of a single
/// thread that turns only during the call; by any other executor; and once without any, with a waker that
/// does nothing: [`TouchFile::blocking`](crate::TouchFile::blocking) does that before it has to wait, and a
/// dropped guard with [`unlock`](Self::unlock), which it drops if it is pending. One future may be polled in
/// several of these, one after the other. So a backend that needs a runtime for its connections has one of
/// its own, on a thread of its own, which also keeps a lease alive while the program's runtime is blocked;
/// its futures only wait for that thread's answers. [`runtime`](crate::runtime) has timers that work
/// everywhere.
#[async_trait]
pub trait LockHandle: fmt::Debug + Send + Sync + 'static {
    /// Makes one attempt and does not wait for a holder.
    ///
    /// # Errors
    ///
    /// [`std::io::ErrorKind::Unsupported`] if the file cannot be locked in this mode,
    /// [`std::io::ErrorKind::InvalidInput`] if this handle already holds a lock,
    /// [`std::io::ErrorKind::StaleNetworkFileHandle`] if its path names another file by now, else
    /// what the operating system says. Contention is `Ok(Attempt::WouldBlock)`.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the handle holding nothing.
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt>;

    /// Waits until the lock is held.
    ///
    /// The provided method repeats [`try_lock`](Self::try_lock) with a jittered pause between
    /// 1 ms and 10 ms ([`Backoff`]). Override it where the backend can be told of a release.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock); and [`std::io::ErrorKind::StaleNetworkFileHandle`] if the
    /// handle notices while it waits that its path names another file by now: `TouchFile` then
    /// starts over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait at once, leaves the handle holding nothing and leaves
    /// nothing behind that would take the lock later.
    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        let mut backoff = Backoff::new();
        while self.try_lock(mode).await? == Attempt::WouldBlock {
            backoff.pause().await;
        }
        Ok(())
    }

    /// Makes the first attempt of a caller who will wait, and does not overtake those who wait
    /// already.
    ///
    /// A backend that serves waiters in an order answers [`Attempt::WouldBlock`] where others stand
    /// before this caller, even if the lock is free at that moment, and may keep a place behind them
    /// for the call of [`lock`](Self::lock) that follows. The provided method is
    /// [`try_lock`](Self::try_lock), which overtakes: right for backends that know of no order. It is
    /// called for each acquisition, so it must be cheap.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the handle holding nothing.
    async fn try_lock_fair(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.try_lock(mode).await
    }

    /// Releases the lock; after `Ok` the handle can lock again.
    ///
    /// It returns `Ok` when nothing is held, too.
    ///
    /// # Errors
    ///
    /// [`std::io::ErrorKind::StaleNetworkFileHandle`] if the lock was lost before: then nothing is
    /// released, least of all the lock of whoever has it now. Else what the operating system says. Whether the
    /// handle holds a lock is unknown then: drop it.
    ///
    /// # Cancel safety
    ///
    /// After a dropped future the lock may or may not be held: call `unlock` again or drop the
    /// handle.
    async fn unlock(&mut self) -> io::Result<()>;

    /// Whether `path` still names what this handle locks.
    ///
    /// # Errors
    ///
    /// Whatever keeps the question from being answered. For a path that names nothing, the answer is
    /// `Ok(false)`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn is_current(&self, path: &Path) -> io::Result<bool>;

    /// Whether the lock that this handle took is known to have been lost since.
    ///
    /// A lock can be lost while it is held if something else than this kernel keeps it: a server
    /// that has not heard of its client for too long, or was started anew. `false` means that
    /// nothing is known of a loss, not that there was none. The provided method knows of nothing
    /// that could take a lock away. An implementation must not take the lock again to find out.
    ///
    /// # Errors
    ///
    /// Whatever keeps the question from being answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn is_lost(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Returns when the lock that this handle took is known to have been lost.
    ///
    /// The provided method asks [`is_lost`](Self::is_lost) now, and again each `interval`. Override it
    /// where the backend is told: then nobody has to be asked, and `interval` means nothing. Where nothing
    /// is held, it may wait for ever.
    ///
    /// # Errors
    ///
    /// As [`is_lost`](Self::is_lost).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn lost(&self, interval: Duration) -> io::Result<()> {
        while !self.is_lost().await? {
            runtime::sleep(interval).await;
        }
        Ok(())
    }

    /// Until when the lock is granted, if nobody confirms it before: after this moment it counts as
    /// lost, without asking anybody.
    ///
    /// A backend with leases counts from the *sending* of the request that was confirmed last, and answers
    /// with a later moment each time that one is. It is known without asking anybody. `None`, as the
    /// provided method answers, means that the lock lasts until it is released or taken away, or that
    /// nothing is held.
    fn valid_until(&self) -> Option<Instant> {
        None
    }

    /// A number by which a store can refuse holders that have lost their lock: the fencing token.
    ///
    /// It is greater than the token of every earlier acquisition of the same lock that conflicts with
    /// this one (law 10). Becoming exclusive by [`ConvertLock`] is an acquisition too, and has a new
    /// token. The answer stays the same until the handle is unlocked, whether or not the lock was lost
    /// meanwhile, and is `None` while nothing is held. It is known without asking anybody. The provided
    /// method has none to give, which is right without [`Capabilities::fencing`].
    fn token(&self) -> Option<u64> {
        None
    }

    /// Whether a call on this handle, or dropping it, may block its thread for long.
    ///
    /// It is true on network file systems, for instance. `TouchFile` then gives the handle a thread of
    /// its own, on which each call is made and on which it is dropped, and waits by repeating
    /// [`try_lock`](Self::try_lock). It is asked once, when the handle has been opened.
    fn may_block(&self) -> bool {
        false
    }

    /// Whether [`lock`](Self::lock) is called at once by who will wait, with no attempt before.
    ///
    /// It is right where one call does both: it takes the lock if it is free and nobody waits, and stands
    /// in line otherwise, first come, first served. An attempt before it would cost another round trip.
    /// The provided method answers no: [`try_lock_fair`](Self::try_lock_fair) comes first. It is asked for
    /// each acquisition, so it must be cheap.
    fn queues(&self) -> bool {
        false
    }

    /// Whether dropping this handle while it holds a lock, or while a call on it was given up, may block its
    /// thread for long, though no call does.
    ///
    /// It is true where the release is confirmed by a server. In a tokio runtime `TouchFile` then drops the
    /// handle on a thread of its own, and the next one of this process has its turn when that is done. A
    /// program that ends before has not released. Elsewhere the handle is dropped where it is, and has
    /// released when that returns. The provided method answers no.
    fn drop_may_block(&self) -> bool {
        false
    }

    /// The open file that is locked, if this backend has files. The provided method answers that it
    /// has none.
    fn file(&self) -> Option<&File> {
        None
    }

    /// Bytes that name what this handle locks: the same for all handles whose locks exclude each other, in
    /// every process and by whatever path. Of several locks a [`LockSet`](crate::LockSet) takes the one with
    /// the least bytes first. Without an answer, which is the provided method's, the path is the name.
    fn identity(&self) -> Option<Vec<u8>> {
        None
    }

    /// Whom the locks of this handle can be expected to exclude, without asking anybody who may not
    /// answer. The provided method answers that nothing is known.
    ///
    /// # Errors
    ///
    /// Whatever keeps the question from being answered.
    fn guarantee(&self) -> io::Result<Guarantee> {
        Ok(Guarantee::Unknown)
    }

    /// This handle as one that can change the mode of its lock, if it is one.
    ///
    /// A handle with [`ConvertLock`] answers `Some(self)`, which the provided method cannot know. This
    /// carries the power through a [`BoxBackend`](crate::BoxBackend).
    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        None
    }
}

/// Whether a handle says that its path names another file by now. A server of NFS says the same of
/// a file that another host has removed.
pub(crate) fn is_stale(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StaleNetworkFileHandle
}
