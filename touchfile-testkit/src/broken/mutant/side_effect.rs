//! Side effects: what a call does besides what it is asked to do.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::site::Site;
use crate::Law;

/// A side effect that no call may have.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum SideEffect {
    ChangesMode,
    ChangesTime,
    LeaksDescriptor,
    LeaksThread,
    LeavesFile,
    ReplacesFile,
    Truncates,
    Writes,
}

/// The call with the side effect.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Op {
    AskCurrent,
    AskHolders,
    AskLost,
    Drop,
    GiveUp,
    Open,
    Try,
    Unlock,
    Wait,
}

impl SideEffect {
    pub(super) const ALL: [Self; 8] = [
        Self::ChangesMode,
        Self::ChangesTime,
        Self::LeaksDescriptor,
        Self::LeaksThread,
        Self::LeavesFile,
        Self::ReplacesFile,
        Self::Truncates,
        Self::Writes,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChangesMode => "changes-mode",
            Self::ChangesTime => "changes-time",
            Self::LeaksDescriptor => "leaks-descriptor",
            Self::LeaksThread => "leaks-thread",
            Self::LeavesFile => "leaves-file",
            Self::ReplacesFile => "replaces-file",
            Self::Truncates => "truncates",
            Self::Writes => "writes",
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::ChangesMode => "changes the mode of the file",
            Self::ChangesTime => "changes the times of the file",
            Self::LeaksDescriptor => "leaves a descriptor open",
            Self::LeaksThread => "leaves a thread behind",
            Self::LeavesFile => "leaves a new file in the directory",
            Self::ReplacesFile => "replaces the file by an equal one",
            Self::Truncates => "truncates the file",
            Self::Writes => "writes into the file",
        }
    }

    /// The laws that a suite may name. A changed file may be an error or a matter of identity. A leak of
    /// a wait is a matter of cancelling, and a leak of a release one of releasing.
    pub(super) fn laws(self, op: Op) -> &'static [Law] {
        match (self, op) {
            (Self::LeaksDescriptor | Self::LeaksThread, Op::GiveUp | Op::Wait) => {
                &[Law::CancelSafety, Law::AcquiredMeansAcquired]
            }
            (Self::LeaksDescriptor | Self::LeaksThread, Op::Unlock | Op::Drop) => {
                &[Law::Release, Law::AcquiredMeansAcquired, Law::CancelSafety]
            }
            (Self::LeaksDescriptor | Self::LeaksThread, _) => {
                &[Law::AcquiredMeansAcquired, Law::CancelSafety]
            }
            // A handle on a replaced file locks a file that no other handle opens.
            (Self::ReplacesFile, _) => &[Law::Identity, Law::Errors, Law::Exclusion],
            _ => &[Law::Errors, Law::Identity],
        }
    }

    /// Has the side effect on a file. Errors are ignored.
    pub(super) fn on(self, path: &Path) {
        match self {
            Self::ChangesMode => {
                let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
                // This bit does not change who may open the file.
                fs::set_permissions(path, Permissions::from_mode(mode ^ 0o001)).ok();
            }
            Self::ChangesTime => {
                let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
                if let Ok(file) = File::open(path) {
                    file.set_modified(old).ok();
                }
            }
            Self::LeaksDescriptor => std::mem::forget(File::open("/dev/null")),
            Self::LeaksThread => drop(thread::spawn(|| {
                loop {
                    thread::park();
                }
            })),
            Self::LeavesFile => {
                let name = format!(".left-{:x}", crate::broken::random::number());
                drop(File::create_new(path.with_file_name(name)));
            }
            Self::ReplacesFile => {
                let new =
                    path.with_file_name(format!(".new-{:x}", crate::broken::random::number()));
                if fs::copy(path, &new).is_ok() {
                    fs::rename(&new, path).ok();
                }
            }
            Self::Truncates => {
                OpenOptions::new()
                    .write(true)
                    .truncate(true)
                    .open(path)
                    .ok();
            }
            Self::Writes => {
                if let Ok(mut file) = OpenOptions::new().append(true).open(path) {
                    file.write_all(b"!").ok();
                }
            }
        }
    }
}

impl Op {
    pub(super) const ALL: [Self; 9] = [
        Self::AskCurrent,
        Self::AskHolders,
        Self::AskLost,
        Self::Drop,
        Self::GiveUp,
        Self::Open,
        Self::Try,
        Self::Unlock,
        Self::Wait,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AskCurrent => "asking-current",
            Self::AskHolders => "asking-holders",
            Self::AskLost => "asking-lost",
            Self::Drop => "dropping",
            Self::GiveUp => "giving-up",
            Self::Open => "opening",
            Self::Try => "trying",
            Self::Unlock => "unlocking",
            Self::Wait => "waiting",
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::AskCurrent => "the question whether a handle is current",
            Self::AskHolders => "the question who holds the lock",
            Self::AskLost => "the question whether the lock was lost",
            Self::Drop => "dropping the handle",
            Self::GiveUp => "giving up a wait",
            Self::Open => "opening",
            Self::Try => "an attempt",
            Self::Unlock => "unlocking",
            Self::Wait => "a wait",
        }
    }

    pub(super) fn site(self) -> Site {
        match self {
            Self::AskCurrent | Self::AskLost => Site::Ask,
            Self::AskHolders => Site::Claims,
            Self::Drop => Site::Drop,
            Self::GiveUp | Self::Wait => Site::Wait,
            Self::Open => Site::Open,
            Self::Try => Site::Acquire,
            Self::Unlock => Site::Unlock,
        }
    }
}
