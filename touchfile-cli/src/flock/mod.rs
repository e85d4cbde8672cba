//! A drop-in replacement for flock(1) of util-linux, as `touchfile flock` and under the name `flock`.

mod descriptor;
mod documented;
mod getopt;
mod lock;
mod numbers;
mod options;
mod wait;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use nix::libc;
use nix::sys::signal::Signal;
use rustix::io::FdFlags;

pub(crate) use documented::Args;

use crate::child::Launch;
use crate::{exit, init, output};
use lock::{Mode, Opening};
use numbers::WaitLimit;
use options::{Plan, Request, Target};

// These are from sysexits.h, as flock(1) uses them.
const USAGE: u8 = 64;
const DATA_ERROR: u8 = 65;
const NO_INPUT: u8 = 66;
const UNAVAILABLE: u8 = 69;
const OS_ERROR: u8 = 71;
const CANNOT_CREATE: u8 = 73;

const HELP: &str = "
Usage:
 flock [options] <file>|<directory> <command> [<argument>...]
 flock [options] <file>|<directory> -c <command>
 flock [options] <file descriptor number>
 flock [options] --fd <number> [<command> [<argument>...]]

Run a command under a lock, or lock an open file of the shell.

Options:
 -s, --shared             get a shared lock
 -x, -e, --exclusive      get an exclusive lock (default)
 -u, --unlock             remove a lock
 -n, --nonblock           fail rather than wait
 -w, --timeout <secs>     wait for a limited amount of time
 -E, --conflict-exit-code <number>  exit code after conflict or timeout
 -o, --close              close file descriptor before running command
 -c, --command <command>  run a single command string through the shell
 -F, --no-fork            execute command without forking
     --fcntl              use an open file description lock of fcntl(2), not flock(2)
     --start <offset>     starting offset for lock (implies --fcntl)
     --length <number>    number of bytes to lock (implies --fcntl)
     --fd <number>        lock this open file descriptor
     --verbose            increase verbosity

 -h, --help               display this help
 -V, --version            display version

Examples:
 flock -n /tmp/backup.lock backup     # only if the last one does not run any more
 flock -w 1.5 . -c 'make && ./run'    # in a shell; give up after 1.5 seconds
 (flock 9; ./one; ./other) 9>a.lock   # until the descriptor is closed
";

const STATUSES: &str = "\
Exit status:
  that of COMMAND, or 128+n if signal n ended it
  1 or N   the lock was not free (-n) or not free in time (-w)
  64       wrong usage
  65       the file cannot be locked
  66, 73   the lock file cannot be opened, or not be created
  69       COMMAND cannot be run
  71       the system failed

Environment:
  SHELL    The shell for the command of -c [default: /bin/sh]

Examples:
  touchfile flock -n /tmp/backup.lock backup
  touchfile flock -w 1.5 . -c 'make && ./run'
  (touchfile flock 9; ./one; ./other) 9>a.lock";

/// An early end of flock(1), or an end without a command.
#[derive(Debug)]
struct Stop {
    status: u8,
    /// The message, without the name of the program.
    line: Option<Vec<u8>>,
    hint: bool,
}

impl Stop {
    fn new(status: u8, line: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            line: Some(line.into()),
            hint: false,
        }
    }

    fn silent(status: u8) -> Self {
        Self {
            status,
            line: None,
            hint: false,
        }
    }

    fn usage(line: impl Into<Vec<u8>>) -> Self {
        Self::new(USAGE, line)
    }

    /// The message for a failed call, in the form of err(3).
    fn system(status: u8, what: &[u8], error: &io::Error) -> Self {
        Self::new(status, [what, b": ", reason(error).as_bytes()].concat())
    }

    fn with_hint(self) -> Self {
        Self { hint: true, ..self }
    }

    fn report(self) -> ExitCode {
        let mut text = Vec::new();
        if let Some(line) = self.line {
            text = [b"flock: ", line.as_slice(), b"\n"].concat();
        }
        if self.hint {
            text.extend_from_slice(b"Try 'flock --help' for more information.\n");
        }
        // A failure to write to standard error cannot be reported.
        io::stderr().write_all(&text).ok();
        ExitCode::from(self.status)
    }
}

/// Runs flock(1) with these arguments.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    match options::parse(words) {
        Ok(Request::Help) => print(HELP),
        Ok(Request::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            print(&format!(
                "flock from touchfile {version}, as of util-linux 2.42\n"
            ))
        }
        Ok(Request::Lock(plan)) => lock_and_run(&plan).unwrap_or_else(Stop::report),
        Err(stop) => stop.report(),
    }
}

fn print(text: &str) -> ExitCode {
    let mut output = Output::default();
    output.say(text);
    output.finish(ExitCode::SUCCESS)
}

fn lock_and_run(plan: &Plan) -> Result<ExitCode, Stop> {
    // Opening a file can take long, too, for example where a server does not answer.
    let ready = init::exit_on_signals();
    let mut output = Output::default();
    if let Some(parent) = plan.waiter_of {
        wait::end_with(parent).map_err(|error| Stop::system(OS_ERROR, b"waiter", &error))?;
    }
    let (mut file, mut opening) = open(plan)?;
    let limit = plan.limit.checked()?;
    debug_assert_eq!(limit, plan.limit);

    let started = Instant::now();
    loop {
        match wait::acquire(plan, &file, number(plan, &file)) {
            Ok(true) => break,
            Ok(false) => return Err(conflict(plan, started)),
            Err(error) => match reopen(plan, opening, &error) {
                Some(again) => (file, opening) = again,
                None => return Err(refused(plan, &error)),
            },
        }
    }
    if plan.verbose {
        let took = started.elapsed();
        let (seconds, micros) = (took.as_secs(), took.subsec_micros());
        output.say(&format!(
            "flock: getting lock took {seconds}.{micros:06} seconds\n"
        ));
    }
    drop(ready);
    if plan.command.is_empty() {
        return Ok(output.finish(ExitCode::SUCCESS));
    }
    execute(plan, &file, output)
}

/// Opens the file to lock, or takes the descriptor.
fn open(plan: &Plan) -> Result<(OwnedFd, Opening), Stop> {
    match &plan.target {
        Target::Descriptor(number) => match descriptor::duplicate(*number) {
            Ok(file) => Ok((file, Opening::ReadOnly)),
            Err(error) => Err(refused(plan, &error)),
        },
        Target::File(path) => {
            let opening = plan.kind.opening(plan.mode);
            lock::open(path, opening).map_err(|error| {
                let status = match error.raw_os_error() {
                    Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE) => OS_ERROR,
                    Some(libc::EROFS | libc::ENOSPC) => CANNOT_CREATE,
                    _ => NO_INPUT,
                };
                let what = [b"cannot open lock file ", path.as_bytes()].concat();
                Stop::system(status, &what, &error)
            })
        }
    }
}

/// Opens the file for writing as well if the lock may have failed for the lack of it. On NFS, flock(2) is
/// a lock of a byte range, and an exclusive one needs a file that is open for writing.
fn reopen(plan: &Plan, opening: Opening, error: &io::Error) -> Option<(OwnedFd, Opening)> {
    let Target::File(path) = &plan.target else {
        return None;
    };
    let missing = matches!(error.raw_os_error(), Some(libc::EIO | libc::EBADF));
    if !missing || opening == Opening::ReadWrite || plan.mode == Mode::Shared {
        return None;
    }
    if !lock::may_write(path) {
        return None;
    }
    let reopened = lock::open(path, Opening::ReadWrite).ok();
    reopened.filter(|(_, opening)| *opening == Opening::ReadWrite)
}

/// The number of the descriptor in a process that is started.
fn number(plan: &Plan, file: &OwnedFd) -> RawFd {
    match plan.target {
        Target::Descriptor(number) => number,
        Target::File(_) => file.as_raw_fd(),
    }
}

fn conflict(plan: &Plan, started: Instant) -> Stop {
    let line = match plan.limit {
        WaitLimit::Time(time) if started.elapsed() >= time => "timeout while waiting to get lock",
        _ => "failed to get lock",
    };
    if plan.verbose {
        Stop::new(plan.conflict, line)
    } else {
        Stop::silent(plan.conflict)
    }
}

/// The error of a file that the system cannot lock.
fn refused(plan: &Plan, error: &io::Error) -> Stop {
    let status = match error.raw_os_error() {
        Some(libc::ENOLCK | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => OS_ERROR,
        _ => DATA_ERROR,
    };
    match &plan.target {
        Target::Descriptor(number) => Stop::system(status, number.to_string().as_bytes(), error),
        Target::File(path) => Stop::system(status, path.as_bytes(), error),
    }
}

/// Runs the command, which inherits the lock file unless `--close` is given.
fn execute(plan: &Plan, file: &OwnedFd, mut output: Output) -> Result<ExitCode, Stop> {
    let name = plan.command[0].as_bytes();
    if plan.verbose {
        output.say_bytes(&[b"flock: executing ", name, b"\n"].concat());
    }
    let failed = |error: &io::Error| {
        let status = match error.raw_os_error() {
            Some(libc::ENOMEM) => OS_ERROR,
            _ => UNAVAILABLE,
        };
        Stop::system(status, &[b"failed to execute ", name].concat(), error)
    };
    if plan.no_fork {
        let error = Launch::new(&plan.command).replace_this_process();
        return Err(failed(&error));
    }
    // If SIGCHLD is ignored, which may be inherited, children leave no exit status.
    let fork_failed = |error: io::Error| Stop::system(OS_ERROR, b"fork failed", &error);
    signal_hook::flag::register(Signal::SIGCHLD as i32, Arc::default()).map_err(fork_failed)?;
    let mut launch = Launch::new(&plan.command);
    if plan.close {
        match plan.target {
            Target::Descriptor(number) => launch = launch.close(number),
            Target::File(_) => rustix::io::fcntl_setfd(file, FdFlags::CLOEXEC)
                .map_err(|error| fork_failed(error.into()))?,
        }
    }
    let mut child = launch.start().map_err(|error| match error.raw_os_error() {
        Some(libc::EAGAIN) => Stop::system(OS_ERROR, b"fork failed", &error),
        _ => failed(&error),
    })?;
    let status = child
        .wait()
        .map_err(|error| Stop::system(1, b"waitpid failed", &error))?;
    Ok(output.finish(exit::with_status(status, false)))
}

/// Standard output, and whether a write to it has failed.
#[derive(Debug, Default)]
struct Output {
    lost: Option<io::Error>,
}

impl Output {
    fn say(&mut self, text: &str) {
        self.say_bytes(text.as_bytes());
    }

    fn say_bytes(&mut self, text: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text).and_then(|()| stdout.flush());
        if let Err(error) = written {
            self.lost.get_or_insert(error);
        }
    }

    fn finish(self, status: ExitCode) -> ExitCode {
        let Some(error) = self.lost else {
            return status;
        };
        output::end_if_unread(&error);
        match error.kind() {
            // Like flock(1), this ignores a closed pipe.
            io::ErrorKind::BrokenPipe => status,
            _ => Stop::system(1, b"write error", &error).report(),
        }
    }
}

/// The message of the system for the error, without the number that Rust adds.
fn reason(error: &io::Error) -> String {
    let mut reason = error.to_string();
    if let Some(end) = reason.rfind(" (os error ") {
        reason.truncate(end);
    }
    reason
}
