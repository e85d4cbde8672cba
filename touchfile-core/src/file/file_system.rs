//! What to call the file system a file is on.

use std::fs::File;

/// The name of the file system `file` is on, such as `ext4` or `nfs`, for use in messages.
///
/// An unknown one is named by its number; `unknown` if the system does not tell.
///
/// # Platform-specific behavior
///
/// On Linux it is looked up by the magic number of statfs(2); ext2 and ext3 have ext4's.
/// Elsewhere the answer is `unknown`.
///
/// ```
/// use std::fs::File;
/// use touchfile_core::file::file_system_name;
///
/// println!("this directory is on {}", file_system_name(&File::open(".")?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn file_system_name(file: &File) -> String {
    name(file).unwrap_or_else(|| "unknown".into())
}

#[cfg(target_os = "linux")]
fn name(file: &File) -> Option<String> {
    let statfs = rustix::io::retry_on_intr(|| rustix::fs::fstatfs(file)).ok()?;
    // The field's type differs between architectures; the magic numbers are of 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = statfs.f_type as u32;
    let known = match magic {
        0x0000_517B => "smb",
        0x0000_6969 => "nfs",
        0x0000_9FA0 => "proc",
        0x0000_EF53 => "ext4",
        0x00C3_6400 => "ceph",
        0x0102_1994 => "tmpfs",
        0x0102_1997 => "9p",
        0x0BD0_0BD0 => "lustre",
        0x2011_BAB0 => "exfat",
        0x2FC1_2FC1 => "zfs",
        0x4750_4653 => "gpfs",
        0x5346_544E | 0x7366_746E => "ntfs",
        0x5346_414F => "afs",
        0x5846_5342 => "xfs",
        0x6573_5546 => "fuse",
        0x6265_6572 => "sysfs",
        0x794C_7630 => "overlayfs",
        0x0000_4D44 => "vfat",
        0x858458F6 => "ramfs",
        0x9123_683E => "btrfs",
        0xCA45_1A4E => "bcachefs",
        0xF2F5_2010 => "f2fs",
        0xFE53_4D42 => "smb2",
        0xFF53_4D42 => "cifs",
        unknown => return Some(format!("of type {unknown:#x}")),
    };
    Some(known.into())
}

#[cfg(not(target_os = "linux"))]
fn name(_: &File) -> Option<String> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn well_known_file_systems_have_names() {
        assert_eq!(
            file_system_name(&File::open("/proc/version").unwrap()),
            "proc"
        );
        assert_eq!(file_system_name(&File::open("/sys").unwrap()), "sysfs");
    }
}
