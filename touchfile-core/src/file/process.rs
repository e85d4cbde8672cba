//! Telling a process from the children it forked.

/// The process a handle was opened in.
///
/// A forked child has a copy of every handle, on the same open file descriptions: were it to
/// unlock one, it would free its parent's lock (tox-dev/filelock#634, xerj#305).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Process(u32);

impl Process {
    pub(super) fn current() -> Self {
        Self(std::process::id())
    }

    pub(super) fn is_current(self) -> bool {
        self == Self::current()
    }
}
