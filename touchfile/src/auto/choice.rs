//! What is right where: pure functions of a file system and its mount.

use touchfile_core::Guarantee;
use touchfile_file::{FileSystem, FileSystemKind, Mount};

/// How a file is locked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// Open-file-description locks of fcntl(2), as by [`FcntlBackend`](crate::FcntlBackend).
    Fcntl,
    /// flock(2), as by [`FlockBackend`](crate::FlockBackend).
    Flock,
}

/// The way to lock files on this file system.
///
/// Local ones with flock(2), all others with fcntl(2).
///
/// Nothing but the file system itself decides, and no call that may fail in one process and succeed
/// in another: if two processes chose differently, they would not exclude each other.
#[must_use]
pub fn choose(file_system: FileSystem) -> Method {
    match file_system.kind() {
        FileSystemKind::Local => Method::Flock,
        _ if !cfg!(any(target_os = "linux", target_os = "android")) => Method::Flock,
        _ => Method::Fcntl,
    }
}

/// What a lock is worth on this file system, mounted like this, if it is known how.
#[must_use]
pub fn guarantee(file_system: FileSystem, mount: Option<&Mount>) -> Guarantee {
    if file_system.kind() == FileSystemKind::Local {
        return Guarantee::HostLocal;
    }
    let Some(mount) = mount else {
        return Guarantee::Unknown;
    };
    match &*file_system.name() {
        "9p" => on_9p(mount),
        "afs" if file_system.magic() == KAFS => match mount.option("flock") {
            Some("local") => Guarantee::HostLocal,
            _ => Guarantee::CrossHost,
        },
        "ceph" => Guarantee::CrossHost,
        "cifs" | "smb2" if mount.has("nobrl") => Guarantee::HostLocal,
        "cifs" | "smb2" => Guarantee::CrossHost,
        "fuse" if mount.subtype() == Some("sshfs") => Guarantee::HostLocal,
        "gfs2" | "ocfs2" if mount.has("localflocks") => Guarantee::HostLocal,
        "lustre" if mount.has("localflock") => Guarantee::HostLocal,
        "lustre" if mount.has("noflock") => Guarantee::None,
        "lustre" if mount.has("flock") => Guarantee::CrossHost,
        "nfs" => on_nfs(mount),
        _ => Guarantee::Unknown,
    }
}

/// The AFS of the kernel; that of OpenAFS has another number.
const KAFS: u32 = 0x6B41_4653;

/// Only the dialect 9P2000.L has locks. Without it the kernel grants them to everybody.
fn on_9p(mount: &Mount) -> Guarantee {
    let other_dialect = mount.has("noextend")
        || mount
            .option("version")
            .is_some_and(|version| !version.eq_ignore_ascii_case("9p2000.l"));
    if other_dialect {
        Guarantee::None
    } else {
        Guarantee::Unknown
    }
}

/// NFSv4 has its locks in the protocol, and ignores the options about them.
fn on_nfs(mount: &Mount) -> Guarantee {
    let version = mount.option("vers").or_else(|| mount.option("nfsvers"));
    let is_4 = version.is_some_and(|version| version.starts_with('4'));
    if is_4 || mount.file_system() == "nfs4" {
        return Guarantee::CrossHost;
    }
    let local = matches!(mount.option("local_lock"), Some("all" | "posix"));
    if local || mount.has("nolock") {
        Guarantee::HostLocal
    } else {
        Guarantee::CrossHost
    }
}

#[cfg(test)]
mod tests {
    use super::Guarantee::{CrossHost, HostLocal, Unknown};
    use super::*;

    const NOWHERE: Guarantee = Guarantee::None;

    /// The number of statfs(2), a line of mountinfo, the choice and what it is worth.
    const TABLE: &[(u32, &str, Method, Guarantee)] = &[
        // Local.
        (
            0xEF53,
            "254:0 / / rw - ext4 /dev/vda rw",
            Method::Flock,
            HostLocal,
        ),
        (
            0x5846_5342,
            "8:1 / / rw - xfs /dev/sda1 rw",
            Method::Flock,
            HostLocal,
        ),
        (
            0x9123_683E,
            "0:31 / / rw - btrfs /dev/sda1 rw,subvol=/",
            Method::Flock,
            HostLocal,
        ),
        (
            0x0102_1994,
            "0:24 / /tmp rw - tmpfs tmpfs rw",
            Method::Flock,
            HostLocal,
        ),
        (
            0x2FC1_2FC1,
            "0:40 / /p rw - zfs pool rw",
            Method::Flock,
            HostLocal,
        ),
        (
            0x4D44,
            "8:2 / /boot rw - vfat /dev/sda2 rw",
            Method::Flock,
            HostLocal,
        ),
        (
            0x794C_7630,
            "0:50 / / rw - overlay overlay rw,upperdir=/nfs/u",
            Method::Flock,
            HostLocal,
        ),
        (
            0x6573_5546,
            "8:3 / /usb rw - fuseblk /dev/sda3 rw,user_id=0",
            Method::Flock,
            HostLocal,
        ),
        (
            0x6573_5546,
            "8:3 / /usb rw - fuseblk.ntfs-3g /dev/sda3 rw",
            Method::Flock,
            HostLocal,
        ),
        // NFS.
        (
            0x6969,
            "0:53 / /n rw - nfs4 s:/ rw,vers=4.2,local_lock=none",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x6969,
            "0:53 / /n rw - nfs4 s:/ rw,vers=4.0,local_lock=all",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x6969,
            "0:53 / /n rw - nfs s:/ rw,vers=3,local_lock=none",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x6969,
            "0:53 / /n rw - nfs s:/ rw,vers=3,soft,noac",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x6969,
            "0:53 / /n rw - nfs s:/ rw,vers=3,local_lock=flock",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x6969,
            "0:53 / /n rw - nfs s:/ rw,vers=3,local_lock=posix",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0x6969,
            "0:53 / /n rw - nfs s:/ rw,vers=3,nolock,local_lock=all",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0x6969,
            "0:53 / /n rw - nfs s:/ rw,vers=3,nolock",
            Method::Fcntl,
            HostLocal,
        ),
        // SMB.
        (
            0xFE53_4D42,
            "0:54 / /s rw - cifs //s/x rw,vers=3.1.1",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0xFE53_4D42,
            "0:54 / /s rw - cifs //s/x rw,vers=3.1.1,nobrl",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0xFF53_4D42,
            "0:54 / /s rw - cifs //s/x rw,vers=1.0,nobrl",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0xFF53_4D42,
            "0:54 / /s rw - smb3 //s/x rw",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x517B,
            "0:54 / /s rw - smbfs //s/x rw",
            Method::Fcntl,
            Unknown,
        ),
        // Other hosts' in other ways.
        (
            0x00C3_6400,
            "0:55 / /c rw - ceph a,b:/ rw,acl",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x0BD0_0BD0,
            "0:56 / /l rw - lustre m:/fs rw,flock,lazystatfs",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x0BD0_0BD0,
            "0:56 / /l rw - lustre m:/fs rw,localflock",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0x0BD0_0BD0,
            "0:56 / /l rw - lustre m:/fs rw,noflock",
            Method::Fcntl,
            NOWHERE,
        ),
        (
            0x0BD0_0BD0,
            "0:56 / /l rw - lustre m:/fs rw,lazystatfs",
            Method::Fcntl,
            Unknown,
        ),
        (
            0x4750_4653,
            "0:57 / /g rw - gpfs g rw",
            Method::Fcntl,
            Unknown,
        ),
        (
            0x6B41_4653,
            "0:58 / /afs rw - afs #root.cell rw",
            Method::Fcntl,
            CrossHost,
        ),
        (
            0x6B41_4653,
            "0:58 / /afs rw - afs #root.cell rw,flock=local",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0x5346_414F,
            "0:58 / /afs rw - afs AFS rw",
            Method::Fcntl,
            Unknown,
        ),
        (
            0x0116_1970,
            "8:9 / /c rw - gfs2 /dev/sdb rw",
            Method::Fcntl,
            Unknown,
        ),
        (
            0x0116_1970,
            "8:9 / /c rw - gfs2 /dev/sdb rw,localflocks",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0x7461_636F,
            "8:9 / /c rw - ocfs2 /dev/sdb rw,localflocks",
            Method::Fcntl,
            HostLocal,
        ),
        // Virtual machines.
        (
            0x0102_1997,
            "0:59 / /h rw - 9p h rw,trans=virtio,cache=none",
            Method::Fcntl,
            Unknown,
        ),
        (
            0x0102_1997,
            "0:59 / /h rw - 9p h rw,version=9p2000.L",
            Method::Fcntl,
            Unknown,
        ),
        (
            0x0102_1997,
            "0:59 / /h rw - 9p h rw,version=9p2000.u",
            Method::Fcntl,
            NOWHERE,
        ),
        (
            0x0102_1997,
            "0:59 / /h rw - 9p h rw,noextend",
            Method::Fcntl,
            NOWHERE,
        ),
        (
            0x6573_5546,
            "0:60 / /h rw - virtiofs tag rw",
            Method::Fcntl,
            Unknown,
        ),
        // User space.
        (
            0x6573_5546,
            "0:61 / /f rw - fuse.sshfs me@s: rw,user_id=0",
            Method::Fcntl,
            HostLocal,
        ),
        (
            0x6573_5546,
            "0:61 / /f rw - fuse.glusterfs s:/v rw",
            Method::Fcntl,
            Unknown,
        ),
        (
            0x6573_5546,
            "0:61 / /f rw - fuse /dev/fuse rw",
            Method::Fcntl,
            Unknown,
        ),
        // An unknown file system.
        (
            0x0BAD_CAFE,
            "0:62 / /x rw - wekafs w rw,nolock",
            Method::Fcntl,
            Unknown,
        ),
    ];

    fn on(magic: u32, mount: &Mount) -> FileSystem {
        FileSystem::from_magic(magic).with_block_device(mount.device().0 != 0)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_file_system_has_its_choice_and_its_guarantee() {
        for (magic, line, method, worth) in TABLE {
            let mount = Mount::parse(&format!("41 27 {line}")).expect("a line of mountinfo");
            let file_system = on(*magic, &mount);
            assert_eq!(choose(file_system), *method, "{line}");
            assert_eq!(guarantee(file_system, Some(&mount)), *worth, "{line}");
        }
    }

    #[test]
    fn without_mountinfo_the_choice_is_the_same_and_no_guarantee_is_made_up() {
        for (magic, line, method, worth) in TABLE {
            let mount = Mount::parse(&format!("41 27 {line}")).expect("a line of mountinfo");
            let file_system = on(*magic, &mount);
            let blind = guarantee(file_system, None);
            if *method == Method::Flock {
                assert_eq!(blind, *worth, "{line}");
            } else {
                assert_eq!(blind, Unknown, "{line}");
            }
        }
    }
}
