//! What is unusual about a path or its file, as far as faults care.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use super::trigger::Road;

pub(super) fn is_on(road: Road, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let metadata = || fs::metadata(path).ok();
    match road {
        Road::DotDot => path.components().any(|part| part == Component::ParentDir),
        Road::LinkedDirectory => path
            .ancestors()
            .skip(1)
            .any(|directory| directory.is_symlink()),
        Road::LongName => name.len() >= 200,
        Road::OddName => {
            std::str::from_utf8(name).is_err() || name.iter().any(u8::is_ascii_whitespace)
        }
        Road::SecondName => metadata().is_some_and(|metadata| metadata.nlink() > 1),
        Road::Contents => metadata().is_some_and(|metadata| metadata.len() > 0),
        Road::ReadOnly => metadata().is_some_and(|metadata| metadata.mode() & 0o222 == 0),
    }
}

/// How many shared locks there are on a file, of any kind and process.
pub(super) fn readers(path: &Path) -> u64 {
    let Ok(metadata) = fs::metadata(path) else {
        return 0;
    };
    // "1: FLOCK  ADVISORY  READ 4242 00:2f:1234 0 EOF" (proc(5)).
    let inode = format!(":{}", metadata.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let is_reader = |line: &&str| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        words.contains(&"READ") && words.iter().any(|word| word.ends_with(&inode))
    };
    locks.lines().filter(is_reader).count() as u64
}
