//! The notice of a waiter: a memory file without content, whose name tells of the wait.
//!
//! The name of a file of memfd_create(2) is shown by the links of /proc/PID/fd. So a notice takes one call
//! when a wait begins and one when it ends, goes with the process, and is as visible as the other descriptors
//! of the process. It names the descriptor of the lock file, and not the file: which file that is, the kernel
//! tells. Anybody can make such a file, so `holders::waits` decides which ones are believed.

use std::ops::RangeInclusive;
use std::path::Path;

use touchfile_core::{LockKind, LockMode};

/// What a waiter tells of its wait.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct WaitNotice {
    pub(crate) kind: LockKind,
    pub(crate) mode: LockMode,
    /// As [`Holder::range`](touchfile_core::Holder::range).
    pub(crate) range: Option<RangeInclusive<u64>>,
    /// The descriptor of the lock file.
    pub(crate) descriptor: u32,
    /// The process, in its own pid namespace. A forked child has a copy of the memory file, and does not wait.
    pub(crate) pid: u32,
}

/// How many notices a process has at a time. Each takes a descriptor.
pub(crate) const MOST: usize = 64;

const PREFIX: &str = "touchfile-waits";

impl WaitNotice {
    /// The name of the memory file.
    #[cfg_attr(not(feature = "events"), allow(dead_code))]
    pub(crate) fn name(&self) -> String {
        let Self {
            kind,
            mode,
            descriptor,
            pid,
            ..
        } = self;
        let range = match &self.range {
            None => "all".into(),
            Some(range) => format!("{}-{}", range.start(), range.end()),
        };
        format!("{PREFIX} {kind} {mode} {range} {descriptor} {pid}")
    }

    /// The notice that a link in /proc/PID/fd leads to, if it is one.
    pub(crate) fn parse(target: &Path) -> Option<Self> {
        let name = target.to_str()?.strip_prefix("/memfd:")?;
        let mut words = name.strip_suffix(" (deleted)")?.split(' ');
        if words.next()? != PREFIX {
            return None;
        }
        let notice = Self {
            kind: words.next()?.parse().ok()?,
            mode: words.next()?.parse().ok()?,
            range: match words.next()? {
                "all" => None,
                range => Some(bytes(range)?),
            },
            descriptor: words.next()?.parse().ok()?,
            pid: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(notice)
    }
}

fn bytes(range: &str) -> Option<RangeInclusive<u64>> {
    let (start, end) = range.split_once('-')?;
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some(start..=end)
}

/// The name of a file that any process can have open.
///
/// # Panics
///
/// If the parser does, or if what it understands is not understood again.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_name(name: &str) {
    for name in [name, &format!("/memfd:{PREFIX} {name} (deleted)")] {
        if let Some(notice) = WaitNotice::parse(Path::new(name)) {
            let again = format!("/memfd:{} (deleted)", notice.name());
            assert_eq!(WaitNotice::parse(Path::new(&again)), Some(notice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Option<WaitNotice> {
        WaitNotice::parse(Path::new(name))
    }

    #[test]
    fn what_is_named_is_read_again_and_fits_into_a_name() {
        for kind in [LockKind::Flock, LockKind::Ofd, LockKind::Posix] {
            for mode in [LockMode::Shared, LockMode::Exclusive] {
                for range in [
                    None,
                    Some(0..=0),
                    Some(7..=u64::MAX),
                    Some(u64::MAX..=u64::MAX),
                ] {
                    let notice = WaitNotice {
                        kind,
                        mode,
                        range,
                        descriptor: u32::MAX,
                        pid: u32::MAX,
                    };
                    let name = notice.name();
                    // MFD_NAME_MAX_LEN in mm/memfd.c
                    assert!(name.len() < 249, "{name}");
                    assert_eq!(read(&format!("/memfd:{name} (deleted)")), Some(notice));
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_a_notice() {
        for name in [
            "",
            "/memfd:other (deleted)",
            "/memfd:touchfile-waits (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive all 3 42",
            "/memfd:touchfile-waits FLOCK exclusive all 3 42 7 (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive all 3  42 (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive all 3 -1 (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive all 3 4294967296 (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive all x 42 (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive 5 3 42 (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive 5-4 3 42 (deleted)",
            "/memfd:touchfile-waits FLOCK both all 3 42 (deleted)",
            "/memfd:touchfile-waits LEASE shared all 3 42 (deleted)",
            "/memfd:touchfile-waits FLOCK exclusive all 3 42\n (deleted)",
            "/memfd:touchfile-waits\x1b[31m FLOCK exclusive all 3 42 (deleted)",
            "/tmp/touchfile-waits FLOCK exclusive all 3 42 (deleted)",
        ] {
            assert_eq!(read(name), None, "{name:?}");
        }
    }
}
