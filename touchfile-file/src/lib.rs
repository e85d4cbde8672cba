//! What backends on real files share.
//!
//! A backend that locks files of the operating system differs from the next one in two calls: try
//! to lock, and unlock. It implements [`RawFileLock`] and uses [`FileHandle`] as its handle; all
//! else is here, once:
//!
//! - [`open`]: opening a lock file without being led astray (planted links, FIFOs, other users'
//!   files in sticky directories);
//! - [`FileId`]: the identity of a file, to notice that a path has come to name another;
//! - [`FileHandle`]: EINTR, waiting, identity, removal on release, and release by no process but
//!   the one that acquired;
//! - [`holders`]: who has the lock, whatever program took it;
//! - [`FileSystem`] and [`Mount`]: whose file system it is, and how it is mounted;
//! - [`platform`]: the operating system, as `touchfile-core` asks for it;
//! - [`ForkGeneration`]: telling a process from those it forked.
#![doc(html_root_url = "https://docs.rs/touchfile-file/latest")]
#![deny(unsafe_code)] // allowed in `fork` and `wait::linux::interrupt` only

#[cfg(any(unix, windows))]
mod file_system;
mod fork;
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(unix, windows))]
mod handle;
#[cfg(any(unix, windows))]
mod holders;
#[cfg(any(unix, windows))]
mod identity;
#[cfg(unix)]
mod location;
#[cfg(any(unix, windows))]
mod mount;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod nfs;
#[cfg(any(unix, windows))]
mod open;
mod platform;
#[cfg(all(target_os = "linux", feature = "events"))]
mod reactor;
#[cfg(any(unix, windows))]
mod removal;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod stall;
#[cfg(any(unix, windows))]
mod wait;
#[cfg(target_os = "linux")]
mod wait_notice;

#[cfg(any(unix, windows))]
pub use file_system::{FileSystem, FileSystemKind, file_system_name};
pub use fork::ForkGeneration;
#[cfg(any(unix, windows))]
pub use handle::{BlockingLock, FileHandle, RawFileConvert, RawFileLock};
#[cfg(any(unix, windows))]
pub use holders::{LockedFile, holders, locked_files, look_up_holders, sees_all_processes};
#[cfg(any(unix, windows))]
pub use identity::{FileId, Symlinks};
#[cfg(any(unix, windows))]
pub use mount::Mount;
#[cfg(any(unix, windows))]
pub use open::{Access, open};
pub use platform::platform;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use stall::opening_may_stall;
#[cfg(any(unix, windows))]
pub use wait::QueuePlace;

#[cfg(any(unix, windows))]
use std::io;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::path::Path;

/// Whether opening `path` may take as long as another host or a program likes: known on Linux only.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[must_use]
pub fn opening_may_stall(path: &Path, follow_symlinks: bool) -> bool {
    let _ = (path, follow_symlinks);
    false
}

/// `AT_STATX_DONT_SYNC` of statx(2), and the next one `AT_STATX_FORCE_SYNC`: rustix does not name them for
/// Android, which has them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STATX_DONT_SYNC: rustix::fs::AtFlags = rustix::fs::AtFlags::from_bits_retain(0x4000);
#[cfg(any(target_os = "linux", target_os = "android"))]
const STATX_FORCE_SYNC: rustix::fs::AtFlags = rustix::fs::AtFlags::from_bits_retain(0x2000);

/// Repeats a system call for as long as a signal interrupts it.
#[cfg(any(unix, windows))]
#[inline]
fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
