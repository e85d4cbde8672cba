//! Flags of statx(2) that rustix names for glibc and its own system calls, but not for Android.

use rustix::fs::AtFlags;

/// Asks no server: what is remembered of the file will do (include/uapi/linux/fcntl.h).
pub(crate) const DONT_SYNC: AtFlags = AtFlags::from_bits_retain(0x4000);
/// Asks the server, whatever is remembered.
pub(crate) const FORCE_SYNC: AtFlags = AtFlags::from_bits_retain(0x2000);
