//! The backend of those who do not name one.

#[cfg(unix)]
mod choice;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;
use std::path::Path;

use async_trait::async_trait;
use touchfile_core::{
    Capabilities, Guarantee, Holder, LockBackend, OpenFile, OpenOptions, Platform,
};

#[cfg(unix)]
pub use choice::{Method, choose, guarantee};
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use system::{AutoHandle, AutoLock};

/// Locks each file in the way that is right for the file system it is on: flock(2) where that is
/// local, fcntl(2) where it may be another host's; on Windows with LockFileEx.
///
#[cfg_attr(unix, doc = "[`choose`]")]
#[cfg_attr(not(unix), doc = "`choose`")]
/// decides, by the file system that the opened file is on, and by nothing else: not by
/// trying, because two processes of which one had failed would not exclude each other. So all that
/// lock with this backend exclude each other; who shares a lock file with programs that do not
/// should use the backend that is theirs.
///
/// What the locks are worth there is another question: [`TouchFile::guarantee`](crate::TouchFile::guarantee) answers it.
///
/// # Examples
///
/// ```
/// use touchfile::{Guarantee, TouchFile};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("app.lock");
/// let touch = TouchFile::open(path)?;
/// if touch.guarantee()? != Guarantee::CrossHost {
///     eprintln!("take care: this lock keeps out nobody on other hosts");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The table
///
/// | file system | locked with | [`Guarantee`] | source |
/// |---|---|---|---|
/// | local: ext2 to ext4, xfs, btrfs, zfs, tmpfs, vfat, … | flock | `HostLocal` | flock(2); the list is in `touchfile_file` |
/// | overlayfs | flock | `HostLocal`, between those who use the same overlay | the lock is on the overlay's inode, never on what is below |
/// | FUSE on a block device (`fuseblk`: ntfs-3g) | flock | `HostLocal` | fs/fuse/inode.c |
/// | NFS 4, whatever the options | fcntl | `CrossHost` | RFC 8881, 9; nfs(5): `local_lock` is for 2 and 3 |
/// | NFS 3 | fcntl | `CrossHost` | nfs(5) |
/// | … with `nolock`, `local_lock=all` or `local_lock=posix` | fcntl | `HostLocal` | nfs(5) |
/// | SMB (`cifs`, `smb3`) | fcntl | `CrossHost` | mount.cifs(8) |
/// | … with `nobrl` | fcntl | `HostLocal` | mount.cifs(8) |
/// | Ceph | fcntl | `CrossHost` | fs/ceph/locks.c |
/// | Lustre with `flock`, `localflock`, `noflock` | fcntl | `CrossHost`, `HostLocal`, `None` | mount.lustre(8) |
/// | Lustre that shows none of them, GPFS | fcntl | `Unknown` | |
/// | AFS of the kernel (whole files only) | fcntl | `CrossHost` | fs/afs/flock.c |
/// | … with `flock=local` | fcntl | `HostLocal` | fs/afs/flock.c |
/// | OpenAFS, GFS2, OCFS2, OrangeFS, BeeGFS, Coda, … | fcntl | `Unknown`; with `localflocks` `HostLocal` | gfs2(5), mount.ocfs2(8) |
/// | 9p with the dialect 9P2000.L | fcntl | `Unknown`: the server's business | fs/9p/vfs_file.c |
/// | 9p with another (`noextend`, `version=9p2000.u`) | fcntl | `None`: all attempts succeed | v9fs_file_lock() in fs/9p/vfs_file.c |
/// | virtiofs | fcntl | `Unknown`: the host's business | fs/fuse/inode.c, `FUSE_POSIX_LOCKS` |
/// | FUSE: sshfs | fcntl | `HostLocal` | libfuse: what is not implemented is done by the kernel, locally |
/// | any other FUSE | fcntl | `Unknown` | |
/// | unknown ones | fcntl | `Unknown` | |
///
/// Without /proc, and for a file opened in another mount namespace, the options of the mount cannot
/// be known: then the guarantee of what is not local is `Unknown`. The choice is the same.
///
/// # Capabilities
///
/// Those that both ways of locking have. Beyond them, a file that cannot be opened for writing can
/// be locked exclusively where flock(2) is chosen; elsewhere that is refused with
/// [`io::ErrorKind::Unsupported`].
///
/// # Platform-specific behavior
///
/// Linux tells file systems apart. On other Unix systems flock(2) is always chosen, and nothing is known
/// of what it is worth.
///
/// On Windows this is `LockFileExBackend`: the kernel sends the locks of a network share to its server,
/// so that there is nothing to choose.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct AutoBackend {
    _private: (),
}

impl AutoBackend {
    /// A backend; it has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

#[async_trait]
impl LockBackend for AutoBackend {
    type Handle = AutoHandle;

    fn name(&self) -> &'static str {
        "auto"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::FILES
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<AutoHandle> {
        system::open(path, options).await
    }

    fn adopt(&self, file: &OpenFile) -> io::Result<AutoHandle> {
        system::adopt(file)
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        system::holders(path).await
    }

    /// By the file at `path`, or if there is none, by one that is created there.
    fn guarantee(&self, path: &Path) -> io::Result<Guarantee> {
        system::guarantee(path)
    }

    fn platform(&self) -> &'static dyn Platform {
        touchfile_file::platform()
    }
}
