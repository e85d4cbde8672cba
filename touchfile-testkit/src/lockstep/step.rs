//! The steps that schedules are made of.

use std::fmt;

use touchfile_core::LockMode;

/// How many lock files a schedule has.
pub(crate) const FILES: u8 = 2;

/// The handles of each process. The last one is on file 1, the others on file 0.
pub(crate) const HANDLES: u8 = 3;

/// One step of a lock-step schedule.
///
/// Each step has a meaning in every state. A step that needs an open handle opens it first. A step
/// that makes no sense does nothing, such as polling a handle that does not wait, or any step of a
/// stopped process. So a schedule without some of its steps is still a schedule, and can be shrunk.
///
/// Processes count from 0. Each has handles 0 and 1 on file 0, and handle 2 on file 1.
#[allow(missing_docs, reason = "the fields are what their names say")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Try to lock.
    TryLock {
        process: u8,
        handle: u8,
        mode: LockMode,
    },
    /// Begin to wait for the lock, and poll the wait once.
    StartWaiting {
        process: u8,
        handle: u8,
        mode: LockMode,
    },
    /// Poll a wait, until it ends if it must end.
    Poll { process: u8, handle: u8 },
    /// Drop the future of a wait. The handle stays open.
    Cancel { process: u8, handle: u8 },
    /// Unlock.
    Unlock { process: u8, handle: u8 },
    /// Drop the handle, with its wait if it has one.
    Drop { process: u8, handle: u8 },
    /// Open the handle.
    Open { process: u8, handle: u8 },
    /// Ask whether the path still names what the handle locks.
    AskCurrent { process: u8, handle: u8 },
    /// Kill the process with SIGKILL.
    Kill { process: u8 },
    /// Stop the process with SIGSTOP.
    Stop { process: u8 },
    /// Let the process go on with SIGCONT.
    Continue { process: u8 },
    /// Fork a child that drops its copy of the handle and ends.
    ForkAndDrop { process: u8, handle: u8 },
    /// Fork a child that lives on with a copy of everything.
    Fork { process: u8 },
    /// Start another program that lives on.
    Spawn { process: u8 },
    /// Remove the name of a lock file.
    Unlink { file: u8 },
    /// Rename a new file over a lock file.
    Replace { file: u8 },
    /// Give the file of one path to the other path as well.
    HardLink { file: u8 },
}

/// The handle `handle` of process `process`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct HandleId {
    pub(crate) process: u8,
    pub(crate) handle: u8,
}

impl HandleId {
    pub(crate) fn file(self) -> u8 {
        u8::from(self.handle >= HANDLES - 1)
    }
}

impl Step {
    /// The handle that the step is about, if it is about one.
    pub(crate) fn handle(self) -> Option<HandleId> {
        use Step::*;
        match self {
            TryLock {
                process, handle, ..
            }
            | StartWaiting {
                process, handle, ..
            }
            | Poll { process, handle }
            | Cancel { process, handle }
            | Unlock { process, handle }
            | Drop { process, handle }
            | Open { process, handle }
            | AskCurrent { process, handle }
            | ForkAndDrop { process, handle } => Some(HandleId { process, handle }),
            _ => None,
        }
    }
}

/// Steps as Rust source for [`Suite::replay`](crate::Suite::replay).
pub(crate) struct AsSource<'a>(pub(crate) &'a [Step]);

impl fmt::Display for AsSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "replay(&[")?;
        for step in self.0 {
            let step = format!("{step:?}").replace("mode: ", "mode: LockMode::");
            writeln!(f, "    Step::{step},")?;
        }
        write!(f, "])")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Step::*;
        match *self {
            TryLock {
                process,
                handle,
                mode,
            } => {
                write!(
                    f,
                    "process {process} tries to take the {mode} lock, handle {handle}"
                )
            }
            StartWaiting {
                process,
                handle,
                mode,
            } => {
                write!(
                    f,
                    "process {process} starts to wait for the {mode} lock, handle {handle}"
                )
            }
            Poll { process, handle } => {
                write!(f, "process {process} polls its wait, handle {handle}")
            }
            Cancel { process, handle } => {
                write!(f, "process {process} gives up its wait, handle {handle}")
            }
            Unlock { process, handle } => write!(f, "process {process} unlocks, handle {handle}"),
            Drop { process, handle } => write!(f, "process {process} drops handle {handle}"),
            Open { process, handle } => write!(f, "process {process} opens handle {handle}"),
            AskCurrent { process, handle } => {
                write!(
                    f,
                    "process {process} asks whether handle {handle} is current"
                )
            }
            Kill { process } => write!(f, "process {process} is killed"),
            Stop { process } => write!(f, "process {process} is stopped"),
            Continue { process } => write!(f, "process {process} is continued"),
            ForkAndDrop { process, handle } => {
                write!(
                    f,
                    "process {process} forks a child that drops its copy of handle {handle}"
                )
            }
            Fork { process } => write!(f, "process {process} forks a child that lives on"),
            Spawn { process } => {
                write!(f, "process {process} starts another program that lives on")
            }
            Unlink { file } => write!(f, "file {file} is unlinked"),
            Replace { file } => write!(f, "a new file is renamed over file {file}"),
            HardLink { file } => write!(
                f,
                "file {file} is linked to the path of file {}",
                FILES - 1 - file
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_as_rust() {
        let steps = [
            Step::TryLock {
                process: 0,
                handle: 1,
                mode: LockMode::Shared,
            },
            Step::Kill { process: 0 },
        ];
        assert_eq!(
            AsSource(&steps).to_string(),
            "replay(&[\n    Step::TryLock { process: 0, handle: 1, mode: LockMode::Shared },\n    \
             Step::Kill { process: 0 },\n])"
        );
    }
}
