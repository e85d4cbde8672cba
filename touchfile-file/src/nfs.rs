//! What the client of NFS remembers and what it hides, and how to make it ask.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, OFlags, StatxFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::{FileSystem, Symlinks};

/// The magic number of every version of it (statfs(2)).
const MAGIC: u32 = 0x6969;

pub(super) fn is_nfs(file_system: FileSystem) -> bool {
    file_system.magic() == MAGIC
}

/// Makes the client of a network file system ask its server again what `path` names.
///
/// It remembers names for up to half a minute, in which another host may have removed or replaced
/// the file. Neither stat(2) of the path nor of the file makes it ask, nor does opening the path
/// (nfs(5), "Directory entry caching").
pub(super) fn forget_name(path: &Path, symlinks: Symlinks, nfs: bool) -> io::Result<()> {
    ask_again(path, nfs)?;
    if symlinks == Symlinks::Follow {
        if let Ok(file) = fs::canonicalize(path) {
            ask_again(&file, nfs)?;
        }
    }
    Ok(())
}

fn ask_again(path: &Path, nfs: bool) -> io::Result<()> {
    // A name that is about to be made, and must not exist, is looked up at the server whatever is
    // remembered of it (LOOKUP_EXCL: filename_create() in fs/namei.c, nfs_do_lookup_revalidate() in
    // fs/nfs/dir.c). To make it another name of the root directory is to ask for it and never to do
    // anything: if it exists, that is the error, and if not, directories have one name each, on
    // their own mount.
    if nfs && rustix::fs::link("/", path) == Err(Errno::EXIST) {
        return Ok(());
    }
    // Else by the directory: a client that finds by its attributes that it has changed no longer
    // believes any name it remembers from it. Some servers count time in steps of 4 ms, and two
    // changes within one look like none.
    let Some(directory) = path.parent() else {
        return Ok(()); // the root, which nobody replaces
    };
    let ask = || {
        let (sync, what) = (crate::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
        rustix::fs::statx(CWD, directory, sync, what)
    };
    match rustix::io::retry_on_intr(ask) {
        // If it is gone, the path names nothing, as will be seen.
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The size of a page on most systems, and more than direct I/O asks of a buffer on all others.
#[repr(align(4096))]
struct Block([u8; 4096]);

/// Whether the server has taken the lock of `file` away, as far as the client tells.
///
/// The client of NFS 4 notices that the server has forgotten a lock when it uses that lock's state:
/// in a read or a write. From then on each of these fails with `EIO`, until the file is unlocked
/// (`NFS_LOCK_LOST` in fs/nfs/nfs4state.c). Here that is one read of a block, past the cache, which
/// could answer as well. To ask for the lock once more, or who has it (`F_GETLK`), does not tell:
/// the one takes it anew if it is free by then, and the other finds no lock in the way.
///
/// In version 3 a read knows nothing of locks, and nothing else does.
pub(super) fn is_lost(file: &File) -> io::Result<bool> {
    let flags = fcntl_getfl(file)?;
    match fcntl_setfl(file, flags | OFlags::DIRECT) {
        Ok(()) => {}
        Err(Errno::INVAL) => return Ok(false), // a directory, say
        Err(errno) => return Err(errno.into()),
    }
    let mut block = Block([0; 4096]);
    let read = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut block.0, 0));
    fcntl_setfl(file, flags)?;
    match read {
        Ok(_) | Err(Errno::ISDIR | Errno::INVAL) => Ok(false),
        // Stale: the file itself is gone, and the lock with it.
        Err(Errno::IO | Errno::STALE) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
