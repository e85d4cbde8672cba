//! What can be counted or seen before and after a call.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use touchfile_file::{FileId, Symlinks};

use crate::Law;
use crate::system;

/// How often a call is repeated between two counts. The number is odd, because some calls undo what
/// the call before has done.
pub(super) const TIMES: usize = 7;

/// What a call leaves behind.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    /// The law that this breaks, if it is another than the law of the call.
    pub(super) law: Option<Law>,
    /// The rest of a sentence about the call.
    pub(super) what: String,
}

impl Leftover {
    fn new(law: impl Into<Option<Law>>, what: impl Into<String>) -> Self {
        Self {
            law: law.into(),
            what: what.into(),
        }
    }
}

/// The state of the lock file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct FileState {
    contents: Vec<u8>,
    mode: Option<u32>,
    modified: Option<SystemTime>,
    id: Option<FileId>,
}

impl FileState {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            contents: fs::read(path).ok()?,
            mode: system::mode(&metadata),
            modified: metadata.modified().ok(),
            id: FileId::from_path(path, Symlinks::Follow).ok()?,
        })
    }

    /// How the file at this path differs from this state.
    pub(super) fn change(&self, path: &Path) -> Option<Leftover> {
        let Some(after) = Self::of(path) else {
            return Some(Leftover::new(Law::Identity, "removes the file"));
        };
        let (law, what) = if after.id != self.id {
            (Law::Identity, "replaces the file by another")
        } else if after.contents != self.contents {
            (Law::Errors, "changes what is in the file")
        } else if after.mode != self.mode {
            (Law::Errors, "changes the mode of the file")
        } else if after.modified != self.modified {
            let what = "changes the time at which the file was last modified";
            (Law::Errors, what)
        } else {
            return None;
        };
        Some(Leftover::new(law, what))
    }
}

/// The descriptors and threads of this process, and the names in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Counts {
    descriptors: usize,
    threads: usize,
    names: BTreeSet<OsString>,
}

impl Counts {
    pub(super) fn now(directory: Option<&Path>) -> Self {
        let names = directory.and_then(|directory| fs::read_dir(directory).ok());
        Self {
            descriptors: system::descriptors(),
            threads: system::threads(),
            names: names
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.file_name()))
                .collect(),
        }
    }

    /// What there is more of than `before`.
    pub(super) fn growth_since(&self, before: &Self) -> Option<Leftover> {
        /// With this many more there is a leak; with fewer, a coincidence.
        const MANY: usize = 4;
        let new: Vec<_> = self.names.difference(&before.names).collect();
        if new.len() >= MANY {
            let what = format!("leaves new files in the directory, such as {:?}", new[0]);
            return Some(Leftover::new(Law::Errors, what));
        }
        let grown = [
            ("descriptors open", before.descriptors, self.descriptors),
            ("threads behind", before.threads, self.threads),
        ];
        grown
            .into_iter()
            .find(|(_, before, after)| *after >= before + MANY)
            .map(|(what, before, after)| {
                let what = format!("leaves {what}: {before} became {after} in {TIMES} times");
                Leftover::new(None, what)
            })
    }
}
