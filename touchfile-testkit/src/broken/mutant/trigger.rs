//! When a fault shows, and for which locks.

use std::path::Path;
use std::thread;

use touchfile_core::LockMode;

use super::super::random::one_in;
use super::path_kind::{self, PathKind};
use super::state::{HandleState, ProcessState};

/// When a fault shows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Trigger {
    Always,
    /// Once in this many times, at random.
    OneIn(u64),
    /// The handle has had the lock this many times.
    Worn(u64),
    /// An attempt of the handle has failed since its last release.
    AfterFailedTry,
    /// The handle has had to wait, for this lock or an earlier one.
    AfterWait,
    AfterGivenUpWait,
    /// A call of the handle was refused.
    AfterError,
    /// The lock was converted, or a conversion has failed.
    AfterConversion,
    InChild,
    InSecondChild,
    InSecondThread,
    InSecondRuntime,
    WithoutRuntime,
    Unwinding,
    /// The path or its file is of this kind.
    OnPath(PathKind),
    /// There are this many shared locks on the file, with this one.
    AtReader(u64),
    /// The process has this many open handles.
    AtHandles(u64),
    /// The lock is free for the first time within 300 µs of the beginning of a wait.
    Early,
}

/// Which locks a fault concerns.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Scope {
    All,
    Mode(LockMode),
    /// Every handle but the first of its process.
    LaterHandles,
    /// Every path but the first of its process.
    LaterPaths,
}

impl Trigger {
    pub(super) fn name(self) -> String {
        match self {
            Self::Always => "always".into(),
            Self::OneIn(n) => format!("1-in-{n}"),
            Self::Worn(n) => format!("after-{n}"),
            Self::AfterFailedTry => "after-failed-try".into(),
            Self::AfterWait => "after-wait".into(),
            Self::AfterGivenUpWait => "after-given-up-wait".into(),
            Self::AfterError => "after-error".into(),
            Self::AfterConversion => "after-conversion".into(),
            Self::InChild => "in-child".into(),
            Self::InSecondChild => "in-second-child".into(),
            Self::InSecondThread => "in-second-thread".into(),
            Self::InSecondRuntime => "in-second-runtime".into(),
            Self::WithoutRuntime => "without-runtime".into(),
            Self::Unwinding => "unwinding".into(),
            Self::OnPath(kind) => format!("on-{}", kind.name()),
            Self::AtReader(k) => format!("at-reader-{k}"),
            Self::AtHandles(n) => format!("at-{n}-handles"),
            Self::Early => "early".into(),
        }
    }

    pub(super) fn what(self) -> String {
        match self {
            Self::Always => "always".into(),
            Self::OneIn(n) => format!("once in {n} times"),
            Self::Worn(n) => format!("once its handle has had the lock {n} times"),
            Self::AfterFailedTry => "after a failed attempt of its handle".into(),
            Self::AfterWait => "once its handle has had to wait".into(),
            Self::AfterGivenUpWait => "once a wait of its handle was given up".into(),
            Self::AfterError => "once a call on its handle was refused".into(),
            Self::AfterConversion => "after an earlier conversion".into(),
            Self::InChild => "in a forked child".into(),
            Self::InSecondChild => "in the second child of a process and those after it".into(),
            Self::InSecondThread => "in another thread than that of the first call".into(),
            Self::InSecondRuntime => "in another runtime than that of the first call".into(),
            Self::WithoutRuntime => "where there is no runtime".into(),
            Self::Unwinding => "while a panic unwinds".into(),
            Self::OnPath(kind) => format!("where {}", kind.what()),
            Self::AtReader(k) => format!("if that makes {k} readers"),
            Self::AtHandles(n) => format!("while the process has {n} handles"),
            Self::Early => "if the lock becomes free within 300 µs".into(),
        }
    }

    /// The kind of trigger, by which the report adds up.
    pub(super) fn dimension(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OneIn(_) => "chance",
            Self::Worn(_) => "wear",
            Self::AfterFailedTry
            | Self::AfterWait
            | Self::AfterGivenUpWait
            | Self::AfterError
            | Self::AfterConversion => "after",
            Self::InChild | Self::InSecondChild => "children",
            Self::InSecondThread => "threads",
            Self::InSecondRuntime | Self::WithoutRuntime => "runtimes",
            Self::Unwinding => "unwinding",
            Self::OnPath(_) => "paths",
            Self::AtReader(_) | Self::AtHandles(_) => "crowds",
            Self::Early => "timing",
        }
    }

    /// Whether the fault shows now.
    pub(super) fn fires(self, process: &ProcessState, state: &HandleState, path: &Path) -> bool {
        match self {
            Self::Always => true,
            Self::OneIn(n) => one_in(n),
            Self::Worn(n) => state.locks() >= n,
            Self::AfterFailedTry => state.has_failed_try(),
            Self::AfterWait => state.has_waited(),
            Self::AfterGivenUpWait => state.has_given_up(),
            Self::AfterError => state.has_been_refused(),
            Self::AfterConversion => state.has_converted(),
            Self::InChild => process.is_child(),
            Self::InSecondChild => process.is_later_child(),
            Self::InSecondThread => process.is_other_thread(),
            Self::InSecondRuntime => process.is_other_runtime(),
            Self::WithoutRuntime => tokio::runtime::Handle::try_current().is_err(),
            Self::Unwinding => thread::panicking(),
            Self::OnPath(kind) => kind.fits(path),
            Self::AtReader(k) => path_kind::readers(path) + 1 >= k,
            Self::AtHandles(n) => process.handles() >= n,
            // The wait itself checks this.
            Self::Early => true,
        }
    }
}

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Mode(LockMode::Exclusive) => "exclusive",
            Self::Mode(LockMode::Shared) => "shared",
            Self::LaterHandles => "later-handles",
            Self::LaterPaths => "later-paths",
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Mode(LockMode::Exclusive) => ", if that is the exclusive lock",
            Self::Mode(LockMode::Shared) => ", if that is the shared lock",
            Self::LaterHandles => ", but not with the first handle of a process",
            Self::LaterPaths => ", but not on the first path of a process",
        }
    }

    pub(super) fn concerns(self, mode: Option<LockMode>, state: &HandleState) -> bool {
        match self {
            Self::All => true,
            Self::Mode(wanted) => mode == Some(wanted),
            Self::LaterHandles => state.handle > 0,
            Self::LaterPaths => state.path > 0,
        }
    }
}
