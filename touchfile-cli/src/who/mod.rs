//! `touchfile who`: who holds a lock, and who waits for it.

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
Tell who holds a lock, and who waits for it

Whatever program took the lock, and whichever kind it is: FLOCK is flock(2), of
flock(1) and most programs; OFDLCK and POSIX are fcntl(2), the latter also
lockf(3). Nothing is locked or written to find out. Without PATH, every file is
listed that somebody has locked, by the name it was opened with.

AGE is that of the process: a lock is no older, unless it was inherited. Since
when it is held nobody knows but its holder, as the kernel keeps no record of it;
with --watch, SEEN is for how long it has been seen to be held.

Only those who are blocked in the kernel are known to wait; touchfile mostly
waits without. A PID with a question mark took the lock, and whether it still has
it, instead of a child, cannot be seen without permission. Locks that are held on
other hosts of a network file system are not seen.";

const EXAMPLES: &str = "\
Examples:
  touchfile who                               # every lock on this host, as lslocks
  touchfile who --pid 4242 --noheadings       # what a process holds and waits for
  touchfile who /run/lock/deploy.lock
  sudo touchfile who /var/lib/dpkg/lock*      # sees all processes
  touchfile who --watch ~/.cargo/.package-cache
  touchfile who --json a.lock | jq '.files[].holders[].pid'

Exit status:
  0        somebody holds a lock on one of the files, or --pid does
  1        nobody does, or nobody that can be seen
  64       wrong usage
  66       a file cannot be looked at; the others are
  69       this system does not tell
  74       the answer cannot be printed

Environment:
  NO_COLOR   Print nothing in colour, unless it is empty.
  TERM       On a dumb terminal, print nothing in colour and redraw nothing.";

/// Tell who holds a lock, and who waits for it
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Tell of this process alone, or of these if it is given again
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// Print no heads above the columns
    #[arg(short, long)]
    noheadings: bool,

    /// Print JSON: one object, or with --watch one line each time
    #[arg(short = 'J', long)]
    json: bool,

    /// Look again and again, each second or each DUR, until Ctrl-C
    #[arg(long, value_name = "DUR", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "1s", value_parser = duration::parse)]
    watch: Option<Duration>,

    /// The lock files; if none is given, all files of this host that somebody has locked
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
        FileStatus::at_all().map_err(|error| Failure::look(Path::new("/proc/locks"), &error))?
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

/// Says what was in the way of an answer, and finds the exit status.
fn conclude(files: Vec<FileStatus>, json: bool) -> ExitCode {
    const NOBODY: u8 = 1;
    let held = files.iter().any(FileStatus::is_held);
    let mut status = ExitCode::from(if held { 0 } else { NOBODY });
    if !json && !touchfile_file::sees_all_processes() {
        say("locks of processes outside of this pid namespace may be missing; ask on the host");
    }
    for file in files {
        if let (Name::Path(path), Err(error)) = (file.name, file.found) {
            status = Failure::look(&path, &error).report();
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

/// Whether standard output is a terminal whose user wants colours (no-color.org).
fn is_colourful() -> bool {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    wanted && is_terminal()
}

/// Whether standard output is a terminal that knows how to erase.
fn is_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !dumb && io::stdout().is_terminal()
}
