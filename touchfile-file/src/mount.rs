//! A mount, as a line of /proc/self/mountinfo tells of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// How the file system of a file is mounted: a line of mountinfo (proc_pid_mountinfo(5)).
///
/// ```
/// use touchfile_file::Mount;
///
/// let mount = Mount::parse(
///     "41 27 0:53 / /mnt/share rw,noatime shared:9 - nfs server:/share rw,vers=3,nolock,local_lock=all",
/// )
/// .unwrap();
/// assert_eq!(mount.file_system(), "nfs");
/// assert_eq!(mount.option("local_lock"), Some("all"));
/// assert!(mount.has("nolock"));
/// assert!(!mount.has("nobrl"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    id: u64,
    device: (u32, u32),
    point: PathBuf,
    file_system: String,
    options: String,
    super_options: String,
}

impl Mount {
    /// The mount that `file` was opened through.
    ///
    /// `None` where it cannot be known: on a system that is not Linux, before Linux 5.8, without
    /// /proc, and for a file that was opened in another mount namespace.
    ///
    /// # Errors
    ///
    /// What keeps mountinfo from being read, other than its absence.
    ///
    /// # Platform-specific behavior
    ///
    /// Asks no server: statx(2) with `AT_STATX_DONT_SYNC`, and /proc/self/mountinfo. The latter is
    /// as long as there are mounts, so this is not for every acquisition.
    pub fn from_file(file: &File) -> io::Result<Option<Self>> {
        from_file(file)
    }

    /// Parses a line of mountinfo; `None` if it is not one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        // The optional fields end with a dash; spaces in other fields are written \040, and a
        // source may be empty.
        let mut fields = line.split(' ');
        let id = fields.next()?.parse().ok()?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        let _root = fields.next()?;
        let point = unescaped(fields.next()?).into();
        let options = fields.next()?.to_owned();
        fields.find(|field| *field == "-")?;
        let file_system = fields.next()?.to_owned();
        let _source = fields.next()?;
        Some(Self {
            id,
            device: (major.parse().ok()?, minor.parse().ok()?),
            point,
            file_system,
            options,
            super_options: fields.next().unwrap_or_default().to_owned(),
        })
    }

    /// The number by which fdinfo and statx(2) name it.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The type of the file system, such as `nfs4` or `fuse.sshfs`.
    #[must_use]
    pub fn file_system(&self) -> &str {
        &self.file_system
    }

    /// What follows the dot in the type of a file system in user space, such as `sshfs`.
    #[must_use]
    pub fn subtype(&self) -> Option<&str> {
        let (_, subtype) = self.file_system.split_once('.')?;
        Some(subtype)
    }

    /// The major and minor number of the device; the major one is 0 without a block device.
    #[must_use]
    pub fn device(&self) -> (u32, u32) {
        self.device
    }

    /// Where it is mounted, as seen from the root directory of this process.
    ///
    /// ```
    /// # use touchfile_file::Mount;
    /// let mount = Mount::parse("41 27 8:1 / /mnt/a\\040b rw - ext4 /dev/sda1 rw").unwrap();
    /// assert_eq!(mount.point().to_str(), Some("/mnt/a b"));
    /// ```
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// All options, with commas between them: those of the mount, and then those of the file system
    /// that differ.
    #[must_use]
    pub fn all_options(&self) -> String {
        let own: Vec<&str> = self.options.split(',').collect();
        let others = self.super_options.split(',');
        let others = others.filter(|option| !own.contains(option) && !option.is_empty());
        own.iter()
            .copied()
            .chain(others)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Whether the mount has this option, with or without a value.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options().any(|(name, _)| name == option)
    }

    /// The value of an option, as in `vers=4.2`.
    ///
    /// ```
    /// # use touchfile_file::Mount;
    /// let mount = Mount::parse("41 27 0:53 / /mnt rw - nfs4 server:/ rw,vers=4.2").unwrap();
    /// assert_eq!(mount.option("vers"), Some("4.2"));
    /// assert_eq!(mount.option("rw"), None); // it has no value
    /// ```
    #[must_use]
    pub fn option(&self, option: &str) -> Option<&str> {
        self.options()
            .find_map(|(name, value)| value.filter(|_| name == option))
    }

    /// Those of the mount and then those of the file system.
    fn options(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let all = self.options.split(',').chain(self.super_options.split(','));
        all.map(|option| match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        })
    }
}

/// With `\ooo`, three octal digits, as the character they stand for (`mangle` in fs/proc_namespace.c
/// does so with white space and backslashes).
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..3);
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn from_file(file: &File) -> io::Result<Option<Mount>> {
    use std::io::{BufRead, BufReader};

    use rustix::fs::{AtFlags, StatxFlags};

    let stat = super::retry_interrupted(|| {
        let flags = AtFlags::EMPTY_PATH | crate::STATX_DONT_SYNC;
        Ok(rustix::fs::statx(file, c"", flags, StatxFlags::MNT_ID)?)
    });
    let id = match stat {
        Ok(stat) if StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID) => {
            stat.stx_mnt_id
        }
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
        Err(error) => return Err(error),
    };
    let mountinfo = match File::open("/proc/self/mountinfo") {
        Ok(mountinfo) => mountinfo,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(mountinfo).split(b'\n') {
        // Names of places need not be of UTF-8; what matters here always is.
        let mount = Mount::parse(&String::from_utf8_lossy(&line?));
        if let Some(mount) = mount.filter(|mount| mount.id == id) {
            return Ok(Some(mount));
        }
    }
    Ok(None)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn from_file(_: &File) -> io::Result<Option<Mount>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_manual_is_understood() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.id, 36);
        assert_eq!(mount.device(), (98, 0));
        assert_eq!(mount.file_system(), "ext3");
        assert!(mount.has("noatime") && mount.has("errors") && mount.has("rw"));
        assert_eq!(mount.option("errors"), Some("continue"));
        assert_eq!(mount.subtype(), None);
    }

    #[test]
    fn any_number_of_optional_fields_is_skipped() {
        for optional in ["", "shared:1 ", "shared:1 master:2 unbindable "] {
            let line =
                format!("1 2 0:3 / /a\\040b ro {optional}- fuse.sshfs me@host: rw,user_id=0");
            let mount = Mount::parse(&line).unwrap();
            assert_eq!(mount.subtype(), Some("sshfs"));
        }
    }

    #[test]
    fn a_source_may_be_empty() {
        let mount = Mount::parse("1 2 0:3 / /a rw - tmpfs  rw,size=4k").unwrap();
        assert_eq!(mount.option("size"), Some("4k"));
    }

    #[test]
    fn what_is_no_line_of_mountinfo_is_nothing() {
        for line in [
            "",
            "a b c",
            "1 2 3 / / rw - ext4 /dev/x rw",
            "1 2 0:3 / / rw",
            "1 2 0:3 / / rw -",
        ] {
            assert_eq!(Mount::parse(line), None, "{line:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_knows_the_mount_it_was_opened_through() {
        let mount = Mount::from_file(&File::open("/proc/version").unwrap()).unwrap();
        assert_eq!(mount.unwrap().file_system(), "proc");
        let mount = Mount::from_file(&File::open("/sys").unwrap()).unwrap();
        assert_eq!(mount.unwrap().file_system(), "sysfs");
    }
}
