//! The parsers of what the kernel and other processes write, one function for each kind of text.
//!
//! They are for the fuzz targets in `fuzz/`, and no part of the interface: they are there with the feature
//! `fuzzing` only, and may change at any time. Each panics if its parser does, or breaks a law of its own.

use crate::Mount;
use crate::holders::{self, Entry};

/// /proc/locks.
///
/// # Panics
///
/// If the parser does, or if a lock that is listed is not found by its file.
pub fn locks(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let entries = Entry::parse_all(&text, None);
    assert!(entries.len() <= text.lines().count(), "a line is one lock");
    for entry in &entries {
        let of_file = Entry::parse_all(&text, Some(entry.file));
        assert!(of_file.contains(entry), "{entry:?}");
        assert!(entry.taker().is_none_or(|pid| pid > 0), "{entry:?}");
        let range = entry.range.as_ref();
        assert!(range.is_none_or(|bytes| !bytes.is_empty()), "{entry:?}");
    }
    holders::join_only(&entries);
}

/// A file of /proc/PID/fdinfo.
///
/// # Panics
///
/// If a parser does.
pub fn fdinfo(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let entries: Vec<Entry> = Entry::parse_fdinfo(&text).collect();
    assert!(entries.len() <= text.lines().count(), "a line is one lock");
    crate::wait::is_marked(&text);
    holders::inode_in(&text);
}

/// /proc/PID/stat, status and cmdline.
///
/// # Panics
///
/// If a parser does.
pub fn process(text: &[u8]) {
    holders::parse_process(text);
}

/// /proc/self/mountinfo.
///
/// # Panics
///
/// If the parser does, or if an option that is listed is not found by its name.
pub fn mountinfo(text: &[u8]) {
    for line in text.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let Some(mount) = Mount::parse(&line) else {
            continue;
        };
        assert!(line.contains(mount.file_system()), "{line:?}");
        assert!(mount.point().as_os_str().len() <= line.len(), "{line:?}");
        for option in mount.all_options().split(',') {
            let name = option.split_once('=').map_or(option, |(name, _)| name);
            assert!(mount.has(name), "{option:?} of {line:?}");
        }
    }
}

/// The name of a memory file, by which a process tells that it waits.
///
/// # Panics
///
/// If the parser does, or if what it understands is not understood again.
pub fn notice(text: &[u8]) {
    for line in String::from_utf8_lossy(text).split('\n') {
        crate::wait_notice::parse_name(line);
    }
}

/// What a head passes to a follower of its queue. The first byte says how many descriptors are passed, and
/// of what kind.
///
/// # Panics
///
/// If a follower takes what is no listening socket for a queue, or keeps a descriptor.
pub fn queue(message: &[u8]) {
    crate::wait::take_message(message);
}
