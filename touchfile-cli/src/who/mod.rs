//! `touchfile who`: shows who holds a lock and who waits for it.

mod file_status;
mod json;
mod names;
mod table;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueHint;

use crate::duration;
use crate::exit::{Failure, say};
use crate::output;
use file_status::{FileStatus, Name};
use names::Users;
use table::Table;

const DETAILS: &str = "\
Show who holds a lock, and who waits for it

Locks of all programs and of all kinds are shown. FLOCK is a lock of flock(2),
which flock(1) and most programs use. OFDLCK and POSIX are locks of fcntl(2);
lockf(3) takes POSIX locks, too. This command neither locks nor writes anything.
Without PATH it lists all locked files, by the names with which they were opened.

AGE is the age of the process. Its lock is not older, unless it was inherited.
The kernel does not record since when a lock is held; with --watch, SEEN is how
long it has been seen.

Waiters are listed if they are blocked in the kernel. touchfile mostly waits
without that, and its waiters come next, in the order in which they began, with
the time that they have WAITED; those of other users need root to be seen.

A PID with a question mark has taken the lock, but without permission it cannot
be seen whether this process or a child of it still holds the lock. Locks that
other hosts of a network file system hold are not seen.";

const EXAMPLES: &str = "\
Examples:
  touchfile who                               # every lock on this host, like lslocks
  touchfile who --pid 4242 --noheadings       # the locks of a process
  touchfile who /run/lock/deploy.lock
  sudo touchfile who /var/lib/dpkg/lock*      # sees all processes
  touchfile who --watch ~/.cargo/.package-cache
  touchfile who --json a.lock | jq '.files[].holders[].pid'

Exit status:
  0        a lock on one of the files is held (with --pid: by that process)
  1        no lock is held, as far as can be seen
  64       wrong usage
  66       a file cannot be opened; the others are shown
  69       this system does not list locks
  74       the answer cannot be printed

Environment:
  NO_COLOR   Print nothing in colour, unless it is empty.
  TERM       On a dumb terminal, print nothing in colour and redraw nothing.";

/// Show who holds a lock, and who waits for it
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Show only this process, or these processes if given several times
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// Print no headings above the columns
    #[arg(short, long)]
    noheadings: bool,

    /// Print JSON: one object, or with --watch one line each time
    #[arg(short = 'J', long)]
    json: bool,

    /// Refresh each second, or each DUR, until Ctrl-C
    #[arg(long, value_name = "DUR", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "1s", value_parser = duration::parse)]
    watch: Option<Duration>,

    /// The lock files; without any, all locked files of this host
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut users = Users::default();
    if let Some(period) = args.watch {
        return watch::run(args, period, &mut users);
    }
    let files = look_at_files(args)?;
    let text = if args.json {
        output::json(&json::Answer::new(&files, &mut users))
    } else {
        args.table(&files, &mut users)
    };
    let printed = output::print(text);
    let status = conclude(files, args.json);
    printed.map(|()| status)
}

fn look_at_files(args: &Args) -> Result<Vec<FileStatus>, Failure> {
    let mut files: Vec<FileStatus> = if args.paths.is_empty() {
        FileStatus::at_all().map_err(|error| Failure::holders(Path::new("/proc/locks"), &error))?
    } else {
        let paths = args.paths.iter().map(Path::new);
        paths.map(FileStatus::at).collect()
    };
    for file in &mut files {
        file.retain(&args.pid);
    }
    if args.paths.is_empty() {
        files.retain(|file| file.found.as_ref().is_ok_and(|found| !found.is_empty()));
    }
    Ok(files)
}

/// Reports the files that could not be opened, and returns the exit status.
fn conclude(files: Vec<FileStatus>, json: bool) -> ExitCode {
    const NOBODY: u8 = 1;
    let held = files.iter().any(FileStatus::is_held);
    let mut status = ExitCode::from(if held { 0 } else { NOBODY });
    if !json && !touchfile_file::sees_all_processes() {
        say("locks of processes outside of this pid namespace may be missing; ask on the host");
    }
    for file in files {
        if let (Name::Path(path), Err(error)) = (file.name, file.found) {
            status = Failure::holders(&path, &error).report();
        }
    }
    status
}

impl Args {
    fn table(&self, files: &[FileStatus], users: &mut Users) -> String {
        let table = Table {
            files: self.paths.len() != 1,
            heads: !self.noheadings,
            colourful: is_colourful(),
            pids: &self.pid,
        };
        table.of(files, users)
    }
}

/// Whether standard output is a terminal and colours are not switched off (no-color.org).
fn is_colourful() -> bool {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    wanted && is_terminal()
}

/// Whether standard output is a terminal that can erase.
fn is_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !dumb && io::stdout().is_terminal()
}
