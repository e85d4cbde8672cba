//! A line of /proc/locks, or of the locks of a descriptor in /proc/PID/fdinfo/FD.

use std::ops::RangeInclusive;

use touchfile_core::{LockKind, LockMode};

/// A lock, or the wait for one, as the kernel lists it (`lock_get_status` in fs/locks.c).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Entry {
    pub(crate) kind: LockKind,
    pub(crate) mode: LockMode,
    /// The process that took it, seen from our pid namespace: 0 if it is not visible in it, and -1
    /// for open-file-description locks, which belong to no process.
    pub(super) pid: i64,
    pub(crate) file: FileNumber,
    pub(crate) range: Option<RangeInclusive<u64>>,
    pub(super) waiting: bool,
}

/// The numbers of a file inside the kernel. Those of stat(2) can differ.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct FileNumber {
    /// The major and minor number of the superblock.
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
}

impl Entry {
    /// Parses such lines; `None` for a lease or what is not understood.
    ///
    /// ```text
    /// 1: FLOCK  ADVISORY  WRITE 4242 fe:00:382078 0 EOF
    /// 1: -> FLOCK  ADVISORY  WRITE 4243 fe:00:382078 0 EOF
    /// 2: OFDLCK ADVISORY  READ  -1 00:28:8 100 199
    /// ```
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let mut kind = words.next()?;
        let waiting = kind == "->";
        if waiting {
            kind = words.next()?;
        }
        let kind = match kind {
            "FLOCK" => LockKind::Flock,
            "OFDLCK" => LockKind::Ofd,
            // The second is that of a mandatory lock, which there are none of since Linux 5.15.
            "POSIX" | "ACCESS" => LockKind::Posix,
            _ => return None,
        };
        let _advisory = words.next()?;
        let mode = match words.next()? {
            "READ" => LockMode::Shared,
            "WRITE" => LockMode::Exclusive,
            _ => return None,
        };
        let pid = words.next()?.parse().ok()?;
        let mut file = words.next()?.split(':');
        let major = u32::from_str_radix(file.next()?, 16).ok()?;
        let minor = u32::from_str_radix(file.next()?, 16).ok()?;
        let inode = file.next()?.parse().ok()?;
        let start: u64 = words.next()?.parse().ok()?;
        let end = match words.next()? {
            "EOF" => u64::MAX,
            end => end.parse().ok()?,
        };
        if start > end {
            return None;
        }
        let whole = start == 0 && end == u64::MAX;
        Some(Self {
            kind,
            mode,
            pid,
            file: FileNumber {
                device: (major, minor),
                inode,
            },
            range: (!whole).then_some(start..=end),
            waiting,
        })
    }

    /// The process that took it, if the kernel names one that we can see.
    pub(crate) fn taker(&self) -> Option<u32> {
        u32::try_from(self.pid).ok().filter(|pid| *pid > 0)
    }

    /// The locks of `file`, or of all files, in a list of lines like those of /proc/locks.
    pub(crate) fn parse_all(lines: &str, file: Option<FileNumber>) -> Vec<Self> {
        let entries = lines.lines().filter_map(Self::parse);
        let wanted = |entry: &Self| file.is_none_or(|file| entry.file == file);
        entries.filter(wanted).collect()
    }

    /// The locks in the text of a /proc/PID/fdinfo/FD.
    pub(crate) fn parse_fdinfo(text: &str) -> impl Iterator<Item = Self> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("lock:"));
        lines.filter_map(Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_is_understood() {
        let entry = |line| Entry::parse(line).unwrap();
        let flock = entry("1: FLOCK  ADVISORY  WRITE 4242 fe:00:382078 0 EOF");
        assert_eq!(flock.kind, LockKind::Flock);
        assert_eq!(flock.mode, LockMode::Exclusive);
        assert_eq!(flock.pid, 4242);
        assert_eq!(flock.file.device, (0xfe, 0));
        assert_eq!(flock.file.inode, 382_078);
        assert_eq!((flock.range, flock.waiting), (None, false));

        let ofd = entry("20: OFDLCK ADVISORY  READ -1 00:28:8 100 199");
        assert_eq!((ofd.kind, ofd.mode), (LockKind::Ofd, LockMode::Shared));
        assert_eq!((ofd.pid, ofd.range), (-1, Some(100..=199)));

        let posix = entry("3: POSIX  ADVISORY  WRITE 1 103:0a:99 7 EOF");
        assert_eq!(posix.kind, LockKind::Posix);
        assert_eq!(posix.file.device, (0x103, 10));
        assert_eq!(posix.range, Some(7..=u64::MAX));
    }

    #[test]
    fn a_waiter_is_one_at_any_depth() {
        for line in [
            "1: -> FLOCK  ADVISORY  WRITE 4243 fe:00:1 0 EOF",
            "1:    -> FLOCK  ADVISORY  WRITE 4243 fe:00:1 0 EOF",
        ] {
            assert!(Entry::parse(line).unwrap().waiting, "{line}");
        }
    }

    #[test]
    fn leases_and_nonsense_are_passed_over() {
        for line in [
            "",
            "1:",
            "1: LEASE  ACTIVE    READ  900 fe:00:1 0 EOF",
            "1: DELEG  ACTIVE    READ  900 fe:00:1 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 4242",
            "1: FLOCK  ADVISORY  WRITE 4242 fe:00 0 EOF",
            "1: FLOCK  ADVISORY  WRITE x fe:00:1 0 EOF",
            "1: OFDLCK ADVISORY  WRITE -1 fe:00:1 8 7",
            // As in Linux 2.x, for a file that is gone.
            "1: POSIX  ADVISORY  WRITE 4242 <none>:0 0 EOF",
        ] {
            assert_eq!(Entry::parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_locks_of_one_file_are_found_among_others() {
        let file = FileNumber {
            device: (0, 0x28),
            inode: 8,
        };
        let list = "1: FLOCK  ADVISORY  WRITE 5 00:28:8 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 6 00:28:9 0 EOF\n\
                    3: FLOCK  ADVISORY  WRITE 7 00:29:8 0 EOF\n";
        let pids = |entries: Vec<Entry>| entries.iter().map(|e| e.pid).collect::<Vec<_>>();
        assert_eq!(pids(Entry::parse_all(list, Some(file))), [5]);
        let fdinfo = "pos:\t0\nflags:\t0100000\nmnt_id:\t45\nino:\t8\n\
                      lock:\t1: FLOCK  ADVISORY  WRITE 5 00:28:8 0 EOF\n\
                      lock:\t2: OFDLCK ADVISORY  WRITE -1 00:28:8 0 EOF\n";
        assert_eq!(pids(Entry::parse_fdinfo(fdinfo).collect()), [5, -1]);
    }
}
