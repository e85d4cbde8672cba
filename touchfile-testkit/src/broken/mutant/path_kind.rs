//! The paths and files with which some faults show.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

/// An unusual kind of path or file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum PathKind {
    /// Through `..`.
    DotDot,
    /// Through a symbolic link to a directory.
    LinkedDirectory,
    LongName,
    /// A name that is not UTF-8, or has white space in it.
    OddName,
    /// The file has another name.
    SecondName,
    /// The file is not empty.
    Contents,
    /// The file has no permission to write.
    ReadOnly,
}

impl PathKind {
    pub(super) const ALL: [Self; 7] = [
        Self::DotDot,
        Self::LinkedDirectory,
        Self::LongName,
        Self::OddName,
        Self::SecondName,
        Self::Contents,
        Self::ReadOnly,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DotDot => "dot-dot",
            Self::LinkedDirectory => "linked-directory",
            Self::LongName => "long-name",
            Self::OddName => "odd-name",
            Self::SecondName => "second-name",
            Self::Contents => "contents",
            Self::ReadOnly => "read-only",
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::DotDot => "the path has `..` in it",
            Self::LinkedDirectory => "a directory in the path is a link",
            Self::LongName => "the file has a name of 200 letters or more",
            Self::OddName => "the file has a name that is not UTF-8 or has white space in it",
            Self::SecondName => "the file has two names",
            Self::Contents => "the file is not empty",
            Self::ReadOnly => "the file has no mode for writing",
        }
    }

    /// Whether a path is of this kind.
    pub(super) fn fits(self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let metadata = || fs::metadata(path).ok();
        match self {
            Self::DotDot => path.components().any(|part| part == Component::ParentDir),
            Self::LinkedDirectory => path
                .ancestors()
                .skip(1)
                .any(|directory| directory.is_symlink()),
            Self::LongName => name.len() >= 200,
            Self::OddName => {
                std::str::from_utf8(name).is_err() || name.iter().any(u8::is_ascii_whitespace)
            }
            Self::SecondName => metadata().is_some_and(|metadata| metadata.nlink() > 1),
            Self::Contents => metadata().is_some_and(|metadata| metadata.len() > 0),
            Self::ReadOnly => metadata().is_some_and(|metadata| metadata.mode() & 0o222 == 0),
        }
    }
}

/// The number of shared locks on a file, of any kind and process.
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
