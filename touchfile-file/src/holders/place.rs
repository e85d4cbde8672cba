//! The numbers by which the kernel's list of locks names a file.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::locks::FileNumber;
use crate::{FileSystem, Mount, retry_interrupted};

/// The numbers of what `path` names.
///
/// Not those of stat(2): on btrfs each subvolume, and on overlayfs each layer, has a device number
/// of its own there, and the inode number may be another as well. /proc/locks has those of the
/// superblock (`lock_get_status` in fs/locks.c), which are those of the mount in mountinfo and
/// those in the fdinfo of a descriptor.
pub(super) fn of(path: &Path) -> io::Result<FileNumber> {
    let file = open(path)?;
    let stat = retry_interrupted(|| Ok(rustix::fs::fstat(&file)?))?;
    let device = match Mount::from_file(&file)? {
        Some(mount) => mount.device(),
        // In a chroot the mount may be out of sight. On most file systems both are the same.
        None if same_device_everywhere(&file)? => (
            rustix::fs::major(stat.st_dev),
            rustix::fs::minor(stat.st_dev),
        ),
        None => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "its mount is not in /proc/self/mountinfo, so its locks cannot be told apart",
            ));
        }
    };
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "the field's type differs from one architecture to the next"
    )]
    let inode = inode_of_descriptor(&file).unwrap_or(stat.st_ino as u64);
    Ok(FileNumber { device, inode })
}

/// Opens with `O_PATH`, so that nothing happens but looking up the path. In particular, closing this
/// does not release the locks that this process itself may have with fcntl(2), as closing any other
/// descriptor does (`filp_close` in fs/open.c).
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = retry_interrupted(|| Ok(rustix::fs::open(path, flags, Mode::empty())?))?;
    Ok(File::from(file))
}

fn same_device_everywhere(file: &File) -> io::Result<bool> {
    let file_system = FileSystem::from_file(file)?;
    Ok(!["bcachefs", "btrfs", "overlayfs"].contains(&&*file_system.name()))
}

/// The inode number inside the kernel, which Linux tells since 5.14.
fn inode_of_descriptor(file: &File) -> Option<u64> {
    inode_in(&fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?)
}

/// The inode number in the text of an fdinfo.
pub(crate) fn inode_in(fdinfo: &str) -> Option<u64> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix("ino:"))?;
    line.trim().parse().ok()
}
