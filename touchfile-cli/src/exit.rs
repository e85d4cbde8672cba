//! Exit statuses, and the line on standard error with the reason.

use std::error::Error as _;
use std::io::{self, Write};
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use touchfile::{Error, Operation};

use crate::text::{printable, shortened};

// These are from sysexits.h, as far as flock(1) and shells use them in the same way.
pub(crate) const USAGE: u8 = 64;
const NO_INPUT: u8 = 66;
const UNAVAILABLE: u8 = 69;
const OS_ERROR: u8 = 71;
const CANNOT_CREATE: u8 = 73;
const IO_ERROR: u8 = 74;
const TEMPORARY_FAILURE: u8 = 75;

// These are the statuses of shells (POSIX, "Exit Status for Commands").
#[cfg(unix)]
const KILLED: u8 = 128;

// This is the status of timeout(1).
const TIMED_OUT: u8 = 124;

/// Why the command did not run, or why its lock failed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    line: Option<String>,
}

impl Failure {
    /// Another process has the lock. The exit status is the one that the caller has asked for.
    pub(crate) fn conflict(status: u8, line: Option<String>) -> Self {
        Self { status, line }
    }

    /// The name of the lock file is the empty string.
    pub(crate) fn empty_path() -> Self {
        Self {
            status: NO_INPUT,
            line: Some("the name of the lock file is empty; give it one".into()),
        }
    }

    /// The name of the lock file is that of a symbolic link.
    fn link(path: &Path) -> Self {
        Self {
            status: NO_INPUT,
            line: Some(format!(
                "cannot use {} as a lock file: it is a symbolic link; give --follow-symlinks, or \
                 the name of the file that it leads to",
                path.display()
            )),
        }
    }

    /// No lock file can be made in `dir`.
    pub(crate) fn directory(dir: &Path, error: &io::Error) -> Self {
        Self {
            status: NO_INPUT,
            line: Some(format!(
                "cannot use {} for lock files: {error}",
                dir.display()
            )),
        }
    }

    /// The holders of the lock of `path` cannot be found out.
    #[cfg(unix)]
    pub(crate) fn holders(path: &Path, error: &io::Error) -> Self {
        let status = if error.kind() == io::ErrorKind::Unsupported {
            UNAVAILABLE
        } else {
            NO_INPUT
        };
        Self {
            status,
            line: Some(format!("cannot look at {}: {error}", path.display())),
        }
    }

    /// The output could not be printed.
    pub(crate) fn output(error: &io::Error) -> Self {
        Self {
            status: IO_ERROR,
            line: Some(format!("cannot write to standard output: {error}")),
        }
    }

    /// The report could not be saved.
    pub(crate) fn report_file(file: &Path, error: &io::Error) -> Self {
        Self {
            status: IO_ERROR,
            line: Some(format!(
                "cannot write the report to {}: {error}",
                file.display()
            )),
        }
    }

    /// The man pages could not be written.
    pub(crate) fn man_pages(directory: &Path, error: &io::Error) -> Self {
        Self {
            status: CANNOT_CREATE,
            line: Some(format!(
                "cannot write the man pages to {}: {error}; give a directory that you may write to",
                directory.display()
            )),
        }
    }

    /// The lock files were replaced by others, again and again.
    pub(crate) fn replaced(times: u32) -> Self {
        Self {
            status: TEMPORARY_FAILURE,
            line: Some(format!(
                "the lock files were replaced {times} times while they were being locked; \
                 try again later"
            )),
        }
    }

    /// The command line is wrong in a way that its parser does not find.
    pub(crate) fn usage(line: String) -> Self {
        Self {
            status: USAGE,
            line: Some(line),
        }
    }

    /// A command of touchfile that Windows does not have.
    #[cfg(windows)]
    pub(crate) fn elsewhere(command: &str, system: &str) -> Self {
        Self {
            status: UNAVAILABLE,
            line: Some(format!(
                "'touchfile {command}' is for {system}; on Windows there are 'touchfile run' and 'touchfile conformance'"
            )),
        }
    }

    /// The command cannot be made to end with this process.
    #[cfg(windows)]
    pub(crate) fn job(error: &io::Error) -> Self {
        Self {
            status: OS_ERROR,
            line: Some(format!(
                "cannot make the command end with touchfile: {error}; try --no-inherit"
            )),
        }
    }

    /// The lock cannot be passed to the command.
    #[cfg(unix)]
    pub(crate) fn inherit(error: &io::Error) -> Self {
        Self {
            status: OS_ERROR,
            line: Some(format!(
                "cannot leave the lock to the command: {error}; try --no-inherit"
            )),
        }
    }

    /// Signals cannot be received, so that the command must not be started.
    pub(crate) fn signals(error: &io::Error) -> Self {
        Self {
            status: OS_ERROR,
            line: Some(format!("cannot prepare to receive signals: {error}")),
        }
    }

    /// The command could not be started. The status is that of flock(1).
    pub(crate) fn spawn(command: &str, error: &io::Error) -> Self {
        let (status, line) = match error.kind() {
            io::ErrorKind::NotFound => (
                UNAVAILABLE,
                format!("cannot run {command}: no such command, or its interpreter is missing"),
            ),
            io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => {
                (OS_ERROR, format!("cannot run {command}: {error}"))
            }
            _ => (UNAVAILABLE, format!("cannot run {command}: {error}")),
        };
        Self {
            status,
            line: Some(line),
        }
    }

    /// The command was started, and its exit status is not known.
    pub(crate) fn wait(command: &str, error: &io::Error) -> Self {
        Self {
            status: OS_ERROR,
            line: Some(format!("cannot learn how {command} ended: {error}")),
        }
    }

    /// The reason in one line. It is empty if nothing is to be printed.
    #[cfg(unix)]
    pub(crate) fn into_line(self) -> String {
        self.line.unwrap_or_default()
    }

    /// Prints the reason on standard error, in one line, and returns the exit status.
    pub(crate) fn report(self) -> ExitCode {
        if let Some(line) = self.line {
            say(&line);
        }
        ExitCode::from(self.status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if is_refused_link(&error) {
            return Self::link(error.path());
        }
        let mut line = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        if let Some(advice) = advice(&error) {
            line = format!("{line}; {advice}");
        }
        Self {
            status: status(&error),
            line: Some(line),
        }
    }
}

/// Ends this process as the command ended, with the exit status of 32 bits; and if its time was `over`, as
/// timeout(1) does.
#[cfg(windows)]
pub(crate) fn with_status(status: ExitStatus, over: bool) -> ExitCode {
    if over {
        return ExitCode::from(TIMED_OUT);
    }
    std::process::exit(status.code().unwrap_or(i32::MAX))
}

/// The exit status of the command, as in a shell. If its time was `over`, it is that of timeout(1).
#[cfg(unix)]
pub(crate) fn with_status(status: ExitStatus, over: bool) -> ExitCode {
    use nix::sys::signal::Signal;
    use std::os::unix::process::ExitStatusExt;

    let code = match (status.code(), status.signal()) {
        (_, signal) if over && signal != Some(Signal::SIGKILL as i32) => TIMED_OUT,
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => u8::try_from(signal).map_or(u8::MAX, |n| KILLED.saturating_add(n)),
        (None, None) => u8::MAX,
    };
    ExitCode::from(code)
}

/// The exit status if a lock was lost while the command ran.
pub(crate) fn after_loss() -> ExitCode {
    ExitCode::from(IO_ERROR)
}

/// Prints one line on standard error. Control characters are replaced, and errors are ignored.
pub(crate) fn say(line: &str) {
    let line = format!("touchfile: {}\n", shortened(&printable(line)));
    // It is one call of write(2), so that lines of several processes do not mix.
    io::stderr().write_all(line.as_bytes()).ok();
}

fn status(error: &Error) -> u8 {
    match error {
        _ if is_refused_call(error) => OS_ERROR,
        Error::InvalidPath { .. } => NO_INPUT,
        // EX_NOPERM of sysexits.h is not for files.
        Error::Permission { .. } | Error::Io { .. } if cannot_create(error) => CANNOT_CREATE,
        Error::Permission { .. } => NO_INPUT,
        Error::Replaced { .. } | Error::Timeout { .. } | Error::Transient { .. } => {
            TEMPORARY_FAILURE
        }
        Error::Unsupported { .. } => UNAVAILABLE,
        _ => IO_ERROR,
    }
}

/// What the user can do about the error, unless its message says it.
fn advice(error: &Error) -> Option<&'static str> {
    match error {
        _ if is_refused_call(error) => Some(
            "a sandbox may refuse a system call that this takes; --backend flock takes fewer, and \
             'touchfile flock' fewer still",
        ),
        Error::Permission { .. } if cannot_create(error) => {
            Some("give a lock file in a directory that you may write to")
        }
        Error::Permission { .. } => Some("ask its owner to let you read it"),
        Error::Replaced { .. } | Error::Transient { .. } => Some("try again later"),
        Error::Unsupported { .. } => Some("give a lock file on a local file system"),
        _ => None,
    }
}

/// Whether the library does not follow a link. Its message names an option of the library, which has
/// another name in this command.
fn is_refused_link(error: &Error) -> bool {
    matches!(error, Error::InvalidPath { reason, .. } if reason.contains("(follow_symlinks)"))
}

/// Whether the system refuses a call for all files. A sandbox answers EPERM or ENOSYS, while EACCES is
/// about the permissions of a file. For one such call the library has its own message.
fn is_refused_call(error: &Error) -> bool {
    let source = match error {
        Error::Permission { source, .. } if !cannot_create(error) => source,
        Error::Unsupported {
            operation: Operation::Open,
            source,
            ..
        } => source,
        _ => return false,
    };
    match source.raw_os_error() {
        #[cfg(unix)]
        Some(code) => {
            use nix::errno::Errno;
            [Errno::EPERM as i32, Errno::ENOSYS as i32].contains(&code)
        }
        #[cfg(windows)]
        Some(_) => false,
        None => source.to_string().starts_with("a sandbox refuses"),
    }
}

/// Whether the lock file is missing because it cannot be created.
fn cannot_create(error: &Error) -> bool {
    let opening = match error {
        Error::Io { operation, .. } | Error::Permission { operation, .. } => {
            *operation == Operation::Open
        }
        _ => false,
    };
    opening
        && error
            .path()
            .symlink_metadata()
            .is_err_and(|missing| missing.kind() == io::ErrorKind::NotFound)
}
