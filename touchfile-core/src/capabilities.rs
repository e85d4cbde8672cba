//! What a backend promises beyond the laws that all must keep.

use std::time::Duration;

/// What a backend can do; constant for the life of the backend.
///
/// What is claimed here must hold, and what is not claimed must be refused with
/// [`std::io::ErrorKind::Unsupported`] when somebody asks for it: never silently ignored.
/// `TouchFile` refuses before it calls the backend, and the conformance suite checks both ways.
///
/// Start from [`Capabilities::NONE`] and claim what you keep:
///
/// # Examples
///
/// ```
/// use touchfile_core::Capabilities;
///
/// let mut capabilities = Capabilities::NONE;
/// capabilities.shared = true;
/// capabilities.crash_release = true;
/// assert!(!capabilities.real_files);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct Capabilities {
    /// Shared locks exist. Without it only [`LockMode::Exclusive`](crate::LockMode) may be asked for.
    pub shared: bool,
    /// Locks exclude other processes, not only other handles of this one (law 1).
    pub cross_process: bool,
    /// The death of a process, SIGKILL included, releases what it held (law 5).
    pub crash_release: bool,
    /// For how long after the death of its holder a lock may still be held, if
    /// [`crash_release`](Self::crash_release) is claimed: zero where the kernel releases it, the time of a
    /// lease where a server does. The same goes for a process that ends without dropping its handles.
    pub death_lag: Duration,
    /// A forked child neither releases nor prolongs its parent's lock (law 6).
    pub fork_safe: bool,
    /// [`is_current`](crate::LockHandle::is_current) tells the truth (law 7).
    /// Without it, asking to verify identities is refused.
    pub identity: bool,
    /// Handles honour [`OpenOptions::remove_on_release`](crate::OpenOptions).
    pub remove_on_release: bool,
    /// The paths are files of the operating system, which other programs can open, remove and replace.
    /// A backend in memory leaves this unset.
    pub real_files: bool,
    /// An exclusive lock can be taken on a file that cannot be opened for writing: one without
    /// write permission, a directory, the running executable.
    pub exclusive_read_only: bool,
    /// A held lock can change its mode without ever being given up in between: handles have
    /// [`ConvertLock`](crate::ConvertLock), and [say so](crate::LockHandle::convertible).
    pub atomic_conversion: bool,
    /// Waiters are served in an order that starves nobody, across processes.
    pub fair: bool,
    /// Held locks have [tokens](crate::LockHandle::token), for stores that refuse a holder which has
    /// lost its lock (law 10). Without it no handle gives one.
    pub fencing: bool,
    /// A held lock can be lost, and every loss is told: by [`is_lost`](crate::LockHandle::is_lost),
    /// [`lost`](crate::LockHandle::lost) and [`unlock`](crate::LockHandle::unlock). Leave it unset where
    /// locks cannot be lost, and where nobody is told.
    pub loss: bool,
    /// Excludes programs that lock the same file with flock(2).
    pub excludes_flock: bool,
    /// Excludes programs that lock the same file with fcntl(2), `F_SETLK` or `F_OFD_SETLK`.
    pub excludes_fcntl: bool,
}

impl Capabilities {
    /// Nothing is promised but exclusion between exclusive holders inside one process.
    pub const NONE: Self = Self {
        shared: false,
        cross_process: false,
        crash_release: false,
        death_lag: Duration::ZERO,
        fork_safe: false,
        identity: false,
        remove_on_release: false,
        real_files: false,
        exclusive_read_only: false,
        atomic_conversion: false,
        fair: false,
        fencing: false,
        loss: false,
        excludes_flock: false,
        excludes_fcntl: false,
    };

    /// What `touchfile_file::FileHandle` gives every backend whose locks exclude other processes and
    /// end with them.
    pub const FILES: Self = Self {
        shared: true,
        cross_process: true,
        crash_release: true,
        fork_safe: true,
        identity: true,
        remove_on_release: true,
        real_files: true,
        ..Self::NONE
    };
}
