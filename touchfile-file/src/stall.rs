//! Whether opening a path may stall, found out without waiting for anybody.
//!
//! open(2) on a network file system can take for ever, and so can everything that would tell that
//! it is one: statfs(2), stat(2), even looking up a name. But *which mount* a path is on is known
//! to the kernel of this host. So the path is walked, one component at a time, and the walk ends at
//! the first step that is on a file system that may stall: no name is ever looked up there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};
use std::sync::Mutex;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::Mount;

/// More links than the kernel follows (path_resolution(7)): opening will say so.
const MAX_LINKS: usize = 40;

/// An open place in the tree, and not more: opening with `O_PATH` opens no file.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Unlike the number of a mount it is never given again; since Linux 6.8 (statx(2)).
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Whether opening the absolute `path`, or creating it, may take as long as another host or a
/// program likes: it is on a network file system, on FUSE, or leads through one.
///
/// This itself never waits for them. If it cannot be known, the answer is yes.
///
/// # Platform-specific behavior
///
/// On Linux it takes three system calls where the path is in the kernel's cache, else three for
/// each component. Elsewhere the answer is always no.
///
/// ```
/// use std::path::Path;
/// use touchfile_file::opening_may_stall;
///
/// assert!(!opening_may_stall(Path::new("/proc/version"), false));
/// ```
#[must_use]
pub fn opening_may_stall(path: &Path, follow_symlinks: bool) -> bool {
    match cached(path, follow_symlinks) {
        Some(place) => stalls(&place).unwrap_or(true),
        None => walk(path, follow_symlinks).unwrap_or(true),
    }
}

/// Where `path` leads, or if it is not there its directory, if that takes no I/O to find out.
///
/// With `RESOLVE_CACHED` (openat2(2), Linux 5.12) the kernel uses what it remembers, and gives up
/// where it would have to ask a file system.
fn cached(path: &Path, follow_symlinks: bool) -> Option<File> {
    let open = |path: &Path, flags| {
        rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED)
    };
    if follow_symlinks {
        // If the link leads nowhere, that may be because of its target's file system.
        return open(path, PLACE.difference(OFlags::NOFOLLOW))
            .ok()
            .map(File::from);
    }
    let place = match open(path, PLACE) {
        // No mount and no directory of that name, or the kernel would remember it.
        Err(Errno::NOENT | Errno::AGAIN) => {
            open(path.parent()?, PLACE.difference(OFlags::NOFOLLOW))
        }
        place => place,
    };
    place.ok().map(File::from)
}

/// Walks `path` for as long as the way is on file systems that do not stall.
fn walk(path: &Path, follow_symlinks: bool) -> io::Result<bool> {
    let root = || open_at(CWD, Path::new("/"));
    let mut ahead: VecDeque<OsString> = names(path);
    // A stack, for the names `..` in the targets of links.
    let mut directories = vec![root()?];
    let mut links = 0;
    if stalls(&directories[0])? {
        return Ok(true);
    }
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            directories.truncate((directories.len() - 1).max(1));
            continue;
        }
        let directory = &directories[directories.len() - 1];
        let next = match open_at(directory, Path::new(&name)) {
            Ok(next) => next,
            // Opening will fail as well, or create it here.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        if stalls(&next)? {
            return Ok(true);
        }
        let stat = rustix::fs::fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode as _) != FileType::Symlink {
            directories.push(next);
            continue;
        }
        links += 1;
        if ahead.is_empty() && !follow_symlinks || links > MAX_LINKS {
            return Ok(false);
        }
        let target = rustix::fs::readlinkat(&next, c"", Vec::new())?;
        let target = OsString::from_vec(target.into_bytes());
        if Path::new(&target).is_absolute() {
            directories.truncate(1);
        }
        for name in names(Path::new(&target)).into_iter().rev() {
            ahead.push_front(name);
        }
    }
    Ok(false)
}

fn open_at(directory: impl std::os::fd::AsFd, name: &Path) -> rustix::io::Result<File> {
    let open = || rustix::fs::openat(&directory, name, PLACE, Mode::empty());
    rustix::io::retry_on_intr(open).map(|fd: OwnedFd| File::from(fd))
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

/// Whether the mount that `place` is on may stall.
fn stalls(place: &File) -> io::Result<bool> {
    /// The answers for mounts by their numbers. There are few: locks are on few mounts.
    static KNOWN: Mutex<Vec<(u64, bool)>> = Mutex::new(Vec::new());

    let flags = AtFlags::EMPTY_PATH | crate::STATX_DONT_SYNC;
    let stat =
        super::retry_interrupted(|| Ok(rustix::fs::statx(place, c"", flags, MNT_ID_UNIQUE)?))?;
    let unique = StatxFlags::from_bits_retain(stat.stx_mask)
        .contains(MNT_ID_UNIQUE)
        .then_some(stat.stx_mnt_id);
    // Never waited for: in a forked child it may be locked for good.
    if let (Some(id), Ok(known)) = (unique, KNOWN.try_lock()) {
        if let Some((_, stalls)) = known.iter().find(|(known, _)| *known == id) {
            return Ok(*stalls);
        }
    }
    let stalls = match Mount::from_file(place)? {
        Some(mount) => !LOCAL.contains(&mount.file_system()),
        // Without /proc: no network file system is on a device of its own.
        None => stat.stx_dev_major == 0,
    };
    if let (Some(id), Ok(mut known)) = (unique, KNOWN.try_lock()) {
        known.truncate(31);
        known.insert(0, (id, stalls));
    }
    Ok(stalls)
}

/// Types of file systems, as /proc/self/mountinfo has them, that wait for nothing but a device.
///
/// What is not here has its calls moved to another thread, which is slower and never wrong. That
/// includes autofs, below which looking up a name mounts something first.
const LOCAL: &[&str] = &[
    "bcachefs",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "ecryptfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fuseblk",
    "hfs",
    "hfsplus",
    "hugetlbfs",
    "iso9660",
    "jffs2",
    "jfs",
    "mqueue",
    "msdos",
    "nilfs2",
    "ntfs",
    "ntfs3",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "reiserfs",
    "rootfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "ubifs",
    "udf",
    "vfat",
    "xfs",
    "zfs",
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Both ways to the answer.
    fn both(path: &Path, follow: bool) -> [bool; 2] {
        [
            opening_may_stall(path, follow),
            walk(path, follow).unwrap_or(true),
        ]
    }

    #[test]
    fn what_is_local_is_known_to_be_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        for follow in [false, true] {
            assert_eq!(both(&path, follow), [false; 2]);
            assert_eq!(both(&dir.path().join("no/such/place"), follow), [false; 2]);
        }
        fs::write(&path, "").unwrap();
        for follow in [false, true] {
            assert_eq!(both(&path, follow), [false; 2]);
        }
    }

    #[test]
    fn links_are_walked_as_the_kernel_does() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/a.lock"), "").unwrap();
        symlink("real", at("relative")).unwrap();
        symlink(at("real"), at("absolute")).unwrap();
        symlink("../real/a.lock", at("real/up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for path in [
            "relative/a.lock",
            "absolute/a.lock",
            "real/up",
            "loop",
            "loop/a.lock",
        ] {
            for follow in [false, true] {
                assert_eq!(both(&at(path), follow), [false; 2], "{path}");
            }
        }
    }

    #[test]
    fn every_local_type_is_there_once_and_in_order() {
        assert!(LOCAL.is_sorted_by(|one, next| one < next));
    }
}
