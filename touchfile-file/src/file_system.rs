//! The file system a file is on: whose it is, and what to call it.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use self::FileSystemKind::{Local, Network, Userspace};

/// Where the files of a file system are: on this host alone, or not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FileSystemKind {
    /// On this host alone, on a device or in memory.
    Local,
    /// On other hosts as well: calls on it may take as long as the network does.
    Network,
    /// Nothing is known of it.
    Unknown,
    /// Served by a program (FUSE), which may be a client of anything, or by the host of this
    /// virtual machine (virtiofs, which is FUSE as well).
    Userspace,
}

/// The file system an open file is on.
///
/// ```
/// use std::fs::File;
/// use touchfile_file::{FileSystem, FileSystemKind};
///
/// let file_system = FileSystem::from_file(&File::open(".")?)?;
/// println!("this directory is on {}", file_system.name());
/// # assert_eq!(FileSystem::from_magic(0x6969).kind(), FileSystemKind::Network); // NFS
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Platform-specific behavior
///
/// On Linux it is told by the magic number of fstatfs(2), and of FUSE by whether it is on a block
/// device. That is the same in every process of a host, whatever its namespaces are and whether
/// or not it sees /proc; so a decision that depends on nothing else is the same too. The options
/// of the mount are in [`Mount`](super::Mount).
///
/// Elsewhere every file system is unknown.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FileSystem {
    magic: u32,
    on_block_device: bool,
}

impl FileSystem {
    /// A local file system, which is what most lock files are on.
    pub(crate) const TYPICAL: Self = Self::from_magic(0xEF53);

    /// A file system of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self::from_magic(0);

    /// The file system `file` is on.
    ///
    /// # Errors
    ///
    /// Whatever fstatfs(2) and fstat(2) fail with; [`io::ErrorKind::Unsupported`] if a sandbox refuses the call.
    /// On a network file system that may take its time.
    pub fn from_file(file: &File) -> io::Result<Self> {
        from_file(file)
    }

    /// The one with this magic number (statfs(2)), which is not on a block device of its own.
    #[must_use]
    pub const fn from_magic(magic: u32) -> Self {
        Self {
            magic,
            on_block_device: false,
        }
    }

    /// The file system with this magic number, on a block device of its own or not.
    #[must_use]
    pub const fn with_block_device(self, on_block_device: bool) -> Self {
        Self {
            on_block_device,
            ..self
        }
    }

    /// Where its files are.
    #[must_use]
    pub fn kind(self) -> FileSystemKind {
        match (self.known(), self.on_block_device) {
            // fuseblk: ntfs-3g and the like. Any other FUSE has no device (fs/fuse/inode.c).
            (Some((_, _, Userspace)), true) => Local,
            (Some((_, _, kind)), _) => *kind,
            (None, _) => FileSystemKind::Unknown,
        }
    }

    /// Whether a call on one of its files may take as long as another host, or a program, likes.
    ///
    /// True unless it is local. False as well where nothing is known of any file system, on
    /// systems that are not Linux.
    #[must_use]
    pub fn may_stall(self) -> bool {
        cfg!(any(target_os = "linux", target_os = "android")) && self.kind() != Local
    }

    /// Its name, such as `ext4` or `nfs`, for use in messages; its number if that is unknown.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self.known() {
            Some((_, name, Userspace)) if self.on_block_device => format!("{name}blk").into(),
            Some((_, name, _)) => (*name).into(),
            None if self.magic == 0 => "unknown".into(),
            None => format!("of type {:#x}", self.magic).into(),
        }
    }

    /// The magic number of statfs(2); 0 on systems that have none.
    #[must_use]
    pub const fn magic(self) -> u32 {
        self.magic
    }

    fn known(self) -> Option<&'static (u32, &'static str, FileSystemKind)> {
        KNOWN.iter().find(|(magic, ..)| *magic == self.magic)
    }
}

/// The name of the file system `file` is on, such as `ext4` or `nfs`, for use in messages.
///
/// That of [`FileSystem::name`]; `unknown` if the system does not tell.
///
/// ```
/// use std::fs::File;
/// use touchfile_file::file_system_name;
///
/// println!("this directory is on {}", file_system_name(&File::open(".")?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn file_system_name(file: &File) -> String {
    match FileSystem::from_file(file) {
        Ok(file_system) => file_system.name().into_owned(),
        Err(_) => "unknown".into(),
    }
}

/// The numbers of linux/magic.h and statfs(2); those that are in neither are from the sources of
/// the file system that is named. ext2 and ext3 have ext4's.
const KNOWN: &[(u32, &str, FileSystemKind)] = &[
    (0x0000_002F, "qnx4", Local),
    (0x0000_0187, "autofs", Local),
    (0x0000_1CD1, "devpts", Local),
    (0x0000_3434, "nilfs2", Local),
    (0x0000_4244, "hfs", Local),
    (0x0000_482B, "hfsplus", Local),
    (0x0000_4D44, "vfat", Local),
    (0x0000_4D5A, "minix", Local),
    (0x0000_517B, "smb", Network),
    (0x0000_564C, "ncp", Network),
    (0x0000_6969, "nfs", Network),
    (0x0000_72B6, "jffs2", Local),
    (0x0000_9660, "iso9660", Local),
    (0x0000_9FA0, "proc", Local),
    (0x0000_ADF5, "adfs", Local),
    (0x0000_ADFF, "affs", Local),
    (0x0000_EF53, "ext4", Local),
    (0x0001_1954, "ufs", Local),
    (0x0027_E0EB, "cgroup", Local),
    (0x00C3_6400, "ceph", Network),
    (0x0102_1994, "tmpfs", Local),
    (0x0102_1997, "9p", Network),
    (0x0116_1970, "gfs2", Network),
    (0x0BD0_0BD0, "lustre", Network),
    (0x1501_3346, "udf", Local),
    (0x1983_0326, "beegfs", Network),
    (0x2003_0528, "orangefs", Network),
    (0x2011_BAB0, "exfat", Local),
    (0x2405_1905, "ubifs", Local),
    (0x28CD_3D45, "cramfs", Local),
    (0x2FC1_2FC1, "zfs", Local),
    (0x3153_464A, "jfs", Local),
    (0x4750_4653, "gpfs", Network),
    (0x5234_5362, "reiser4", Local),
    (0x5265_4973, "reiserfs", Local),
    (0x5346_414F, "afs", Network),
    (0x5346_4846, "wslfs", Local),
    (0x5346_544E, "ntfs", Local),
    (0x5846_5342, "xfs", Local),
    (0x5A4F_4653, "zonefs", Local),
    (0x6265_6572, "sysfs", Local),
    (0x6367_7270, "cgroup2", Local),
    (0x6462_6720, "debugfs", Local),
    (0x6573_5546, "fuse", Userspace),
    (0x6B41_4653, "afs", Network),
    (0x7366_746E, "ntfs3", Local),
    (0x7371_7368, "squashfs", Local),
    (0x7375_7245, "coda", Network),
    (0x7461_636F, "ocfs2", Network),
    (0x7472_6163, "tracefs", Local),
    (0x794C_7630, "overlayfs", Local),
    (0x8584_58F6, "ramfs", Local),
    (0x9123_683E, "btrfs", Local),
    (0x9584_58F6, "hugetlbfs", Local),
    (0xCA45_1A4E, "bcachefs", Local),
    (0xE0F5_E1E2, "erofs", Local),
    (0xF2F5_2010, "f2fs", Local),
    (0xFE53_4D42, "smb2", Network),
    (0xFF53_4D42, "cifs", Network),
];

#[cfg(any(target_os = "linux", target_os = "android"))]
fn from_file(file: &File) -> io::Result<FileSystem> {
    use super::retry_interrupted;

    let statfs = retry_interrupted(|| Ok(rustix::fs::fstatfs(file)?)).map_err(explain)?;
    // The field's type differs between architectures; the magic numbers are of 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = statfs.f_type as u32;
    let mut file_system = FileSystem::from_magic(magic);
    if file_system.kind() == Userspace {
        let stat = retry_interrupted(|| Ok(rustix::fs::fstat(file)?))?;
        file_system.on_block_device = rustix::fs::major(stat.st_dev) != 0;
    }
    Ok(file_system)
}

/// Nobody's rights on an open file keep fstatfs(2) from telling: it is a filter of system calls that
/// refuses it (seccomp(2)).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn explain(error: io::Error) -> io::Error {
    use rustix::io::Errno;

    match Errno::from_io_error(&error) {
        Some(Errno::PERM | Errno::NOSYS) => io::Error::new(
            io::ErrorKind::Unsupported,
            format!("a sandbox refuses fstatfs(2), which tells the file system: {error}"),
        ),
        _ => error,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[allow(clippy::unnecessary_wraps)]
fn from_file(_: &File) -> io::Result<FileSystem> {
    Ok(FileSystem::from_magic(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn well_known_file_systems_have_names() {
        assert_eq!(
            file_system_name(&File::open("/proc/version").unwrap()),
            "proc"
        );
        assert_eq!(file_system_name(&File::open("/sys").unwrap()), "sysfs");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_s_own_are_local() {
        for path in ["/proc/version", "/sys"] {
            let file_system = FileSystem::from_file(&File::open(path).unwrap()).unwrap();
            assert_eq!(file_system.kind(), Local);
            assert!(!file_system.may_stall());
        }
    }

    #[test]
    fn fuse_is_local_only_on_a_device() {
        assert_eq!(FileSystem::from_magic(0x6573_5546).kind(), Userspace);
        assert_eq!(FileSystem::from_magic(0x6573_5546).name(), "fuse");
        assert_eq!(
            FileSystem::from_magic(0x6573_5546)
                .with_block_device(true)
                .kind(),
            Local
        );
        assert_eq!(
            FileSystem::from_magic(0x6573_5546)
                .with_block_device(true)
                .name(),
            "fuseblk"
        );
    }

    #[test]
    fn what_nobody_knows_is_unknown() {
        assert_eq!(
            FileSystem::from_magic(1).with_block_device(true).kind(),
            FileSystemKind::Unknown
        );
        assert_eq!(
            FileSystem::from_magic(1).with_block_device(true).name(),
            "of type 0x1"
        );
        assert_eq!(FileSystem::from_magic(0).name(), "unknown");
    }

    #[test]
    fn each_number_is_there_once_and_in_order() {
        assert!(KNOWN.is_sorted_by(|(one, ..), (next, ..)| one < next));
    }
}
