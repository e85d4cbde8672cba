//! Who holds the locks of a file, whatever program took them.
//!
//! The kernel's list of locks, /proc/locks, names each file by the device and inode number of its
//! superblock ([`place`]), and a process ([`list`], [`locks`]): for flock(2) the one that *took* the lock,
//! which may have passed it on and be dead; for open-file-description locks none. So whoever has
//! such a lock is looked up among the open files of all processes ([`scan`]), and both are put
//! together in [`join`]. [`facts`] tells what is known of a process, and [`waits`] which processes
//! say themselves that they wait.
//!
//! Nothing here takes a lock, or opens the file in a way that anybody could notice.

#[cfg(target_os = "linux")]
mod facts;
#[cfg(target_os = "linux")]
mod join;
#[cfg(target_os = "linux")]
mod list;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod scan;
#[cfg(target_os = "linux")]
mod waits;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use super::FileSystem;
use touchfile_core::{Holder, LockKind};

/// How many look-ups a process makes at a time, however many of its waiters ask.
static LOOK_UPS: Semaphore = Semaphore::const_new(4);

/// Who holds a lock on `path`, and who is blocked waiting for one, whatever program they are.
///
/// Nobody is an empty answer; a missing file is not. A symbolic link is followed. Holders come
/// first, and a lock that several processes share, because they inherited it, is listed once for
/// each of them.
///
/// It reads and changes nothing: no lock is taken, and the file is opened with `O_PATH` only,
/// which needs no permission on it, wakes nobody, and leaves alone the locks that this process
/// itself may hold with fcntl(2) (closing any other descriptor would release those).
///
/// It takes about as long as `ps`: some milliseconds, more where thousands of processes have
/// thousands of files open; and if the file is on a network file system, as long as its server
/// takes to look up the path. [`look_up_holders`] keeps off your thread meanwhile.
///
/// # What cannot be known
///
/// - Those who are blocked in the kernel are listed as waiting; after them touchfile's own waiters on local
///   file systems, in the order in which they began ([`Holder::waiting_since`]), up to 64 of a process and as
///   far as their descriptors are for us to look at. Others who try again and again are not.
/// - A process in a pid namespace that is not below ours has no number here, and what it holds
///   with flock(2) may not be listed at all. Whether this can be so is told by
///   [`sees_all_processes`].
/// - Other users' descriptors are not for everybody to look at. A holder with flock(2) is then
///   [not confirmed](Holder::confirmed), one of an open-file-description lock not named.
/// - Locks that are held on other hosts of a network file system.
///
/// # Errors
///
/// Whatever opening `path` with `O_PATH` fails with, and [`io::ErrorKind::Unsupported`] where there is no
/// /proc/locks, on a system that is not Linux, and in a chroot on btrfs or overlayfs whose mount
/// is outside of it.
///
/// # Platform-specific behavior
///
/// Linux: /proc/locks, /proc/*/fdinfo, /proc/*/stat (proc(5)). On Linux before 5.14, files on
/// overlayfs may not be found, and touchfile's own waiters are not.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a.lock");
/// # #[cfg(target_os = "linux")] {
/// let file = std::fs::File::create(&path)?;
/// fs4::FileExt::lock(&file)?; // with whatever library or program
/// let holders = touchfile_file::holders(&path)?;
/// assert_eq!(holders[0].pid(), Some(std::process::id()));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn holders(path: impl AsRef<Path>) -> io::Result<Vec<Holder>> {
    find(path.as_ref(), Reach::All)
}

#[cfg(all(feature = "fuzzing", target_os = "linux"))]
pub(super) use facts::parse_process;
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
pub(super) use join::join_only;
#[cfg(target_os = "linux")]
use join::{Reach, holders as find};
#[cfg(all(target_os = "linux", feature = "events"))]
pub(super) use list::lists_none;
#[cfg(all(target_os = "linux", feature = "events"))]
pub(super) use locks::Entry;
#[cfg(target_os = "linux")]
use machine::locked_files as find_all;
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
pub(super) use place::inode_in;
#[cfg(all(target_os = "linux", feature = "events"))]
pub(super) use scan::{each_descriptor, processes};
#[cfg(all(target_os = "linux", feature = "events"))]
pub(super) use waits::WAITING_THREAD;

#[cfg(not(target_os = "linux"))]
use elsewhere::{Reach, find, find_all};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;
    use std::path::Path;

    use super::{Holder, LockKind, LockedFile};

    pub(super) enum Reach {
        All,
        Message(#[expect(dead_code, reason = "there is nobody to be found")] &'static [LockKind]),
    }

    pub(super) fn find(_: &Path, _: Reach) -> io::Result<Vec<Holder>> {
        Err(unsupported())
    }

    pub(super) fn find_all() -> io::Result<Vec<LockedFile>> {
        Err(unsupported())
    }

    fn unsupported() -> io::Error {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "this system does not tell who holds a lock",
        )
    }
}

/// A file with the locks on it, as [`locked_files`] finds it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LockedFile {
    /// What the file was opened as by a process that has it open. `None` if there is none whose
    /// descriptors we may look at.
    ///
    /// It is a name in that process's mount namespace, and ends with ` (deleted)` if the file has no
    /// name any more.
    pub path: Option<PathBuf>,
    /// The major and minor number of the file's superblock, as /proc/locks has them.
    pub device: (u32, u32),
    /// The inode number, on that superblock.
    pub inode: u64,
    /// The holders of locks on it, and then those who are blocked waiting for one.
    pub holders: Vec<Holder>,
}

/// Every file of this host that somebody holds a lock on, and who it is: [`holders`]
/// of all files, at the cost of one.
///
/// # What cannot be known
///
/// Besides what [`holders`] cannot, the name of a file that only processes have open whose descriptors we
/// may not look at.
///
/// # Errors
///
/// [`io::ErrorKind::Unsupported`] where there is no /proc/locks, and on a system that is not Linux.
pub fn locked_files() -> io::Result<Vec<LockedFile>> {
    find_all()
}

/// [`holders`] with the kinds of locks that matter on their file system, found on a thread of its own, and only as many as a
/// message needs: who took a lock with flock(2) stands for those who inherited it. To find that out
/// takes less than a millisecond, unless whoever took it has passed it on and let go, or it is an
/// open-file-description lock. To find touchfile's own waiters takes some milliseconds, where hundreds of
/// processes are. Nothing is looked for after 50 ms, or beyond 4,096 descriptors of a process for its waits.
///
/// A process makes four such look-ups at a time; others wait for their turn. What backends on real
/// files use for [`LockBackend::holders`](touchfile_core::LockBackend::holders).
///
/// # Errors
///
/// As [`holders`]; and what keeps the system from starting a thread.
///
/// # Cancel safety
///
/// Dropping the future leaves a thread behind that ends by itself, and takes no lock.
pub async fn look_up_holders(
    path: &Path,
    kinds: fn(FileSystem) -> &'static [LockKind],
) -> io::Result<Vec<Holder>> {
    let turn = LOOK_UPS.acquire().await.map_err(io::Error::other)?;
    let path = path.to_owned();
    let (send, receive) = oneshot::channel();
    thread::Builder::new()
        .name("touchfile-who".into())
        .spawn(move || {
            let found = file_system(&path).and_then(|file_system| {
                let kinds = kinds(file_system);
                let mut found = find(&path, Reach::Message(kinds))?;
                found.retain(|holder| holder.kind.is_some_and(|kind| kinds.contains(&kind)));
                Ok(found)
            });
            drop(turn);
            drop(send.send(found));
        })?;
    receive
        .await
        .unwrap_or_else(|_| Err(io::Error::other("looking for the holders panicked")))
}

/// Without opening the file in a way that anybody could notice.
fn file_system(path: &Path) -> io::Result<FileSystem> {
    #[cfg(target_os = "linux")]
    {
        FileSystem::from_file(&place::open(path)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        Ok(FileSystem::from_magic(0))
    }
}

/// Whether every process of this host can be seen from here.
///
/// If not, as in most containers, a lock may be held though [`holders`] finds nobody.
///
/// # Platform-specific behavior
///
/// Linux: whether this is the first pid namespace, whose number is the same on every host
/// (`PROC_PID_INIT_INO` in include/linux/proc_ns.h). Elsewhere false.
#[must_use]
pub fn sees_all_processes() -> bool {
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.as_os_str() == "pid:[4026531836]")
}
