//! `touchfile doctor`: reports what a lock guarantees in a directory.
//!
//! The doctor reads the [`facts`] that the system has about the file system and its mount, judges
//! them ([`advice`]), and tries with child processes what one host can try ([`trial`], [`worker`]).

mod advice;
mod exports;
mod facts;
mod json;
mod report;
mod trial;
pub(crate) mod worker;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use touchfile_testkit::worker::{Worker, reply, this_program};

use crate::exit::Failure;
use crate::output;
use facts::Facts;
use report::Report;

/// After this time the doctor prints what it knows. A server that does not answer can block a call for
/// ever.
const TIME_LIMIT: Duration = Duration::from_millis(1_800);

const DETAILS: &str = "\
Report what a lock guarantees on the file system of PATH

The report says which file system it is and how it is mounted, which kind of lock
to use, which processes a lock excludes there, and why. Then two processes try
it with new files next to PATH, which are removed in the end: whether they
exclude each other, whether a lock is released when its holder is killed, and
whether a replaced file is noticed. Other hosts cannot be tried.

It ends in two seconds, even if the server of the file system does not answer.
`touchfile conformance` tries more, and takes longer.";

const EXAMPLES: &str = "\
Examples:
  touchfile doctor
  touchfile doctor /mnt/share/locks
  touchfile doctor --json /srv/app | jq -r .verdict

Exit status:
  0        a lock excludes all processes that can open the files
  1        a lock excludes no process, or a trial failed
  2        a lock excludes some processes, or it is not known which
  64       wrong usage
  66       PATH cannot be opened
  74       the report cannot be printed";

/// Report what a lock guarantees on the file system of PATH
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// A directory, or a lock file, which need not exist
    #[arg(value_name = "PATH", default_value = ".", value_hint = clap::ValueHint::AnyPath)]
    path: OsString,
}

/// What the examiner sends to its parent.
#[derive(Deserialize, Serialize)]
enum Message {
    /// The path cannot be opened, for this reason.
    Failed(String),
    /// The report of what is known so far, and the exit status that goes with it.
    Report { status: u8, text: String },
}

/// Prints the last report that the examiner has sent in time.
///
/// The examiner is another process, which makes all calls that may block for ever. While the file system
/// hangs it cannot even be killed, and is left behind.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let deadline = Instant::now() + TIME_LIMIT;
    let path = Path::new(&args.path);
    // This is checked without any access to the file system.
    if args.path.is_empty() {
        return Err(Failure::empty_path());
    }
    let mut examiner = start(args).map_err(|error| Failure::holders(path, &error))?;
    let mut last = message(&Report::new(path, None), args.json);
    let time_left = || deadline.saturating_duration_since(Instant::now());
    while let Ok(line) = examiner.receive(time_left()) {
        last = serde_json::from_str(&line)
            .map_err(|error| Failure::holders(path, &io::Error::from(error)))?;
    }
    examiner.abandon();
    match last {
        Message::Failed(error) => Err(Failure::holders(path, &io::Error::other(error))),
        Message::Report { status, text } => {
            output::print(text)?;
            Ok(ExitCode::from(status))
        }
    }
}

fn start(args: &Args) -> io::Result<Worker> {
    let mut command = this_program()?;
    command.arg("doctor-examiner");
    if args.json {
        command.arg("--json");
    }
    Worker::spawn(command.arg("--").arg(&args.path).stderr(Stdio::null()))
}

fn message(report: &Report, json: bool) -> Message {
    let text = if json {
        report.to_json()
    } else {
        report.to_text()
    };
    Message::Report {
        status: report.status(),
        text,
    }
}

/// The examiner makes the calls that may block, and sends reports to the parent.
///
/// It sends a report whenever more is known, because each of the calls may block for ever.
pub(crate) fn examine(args: &Args) -> Result<ExitCode, Failure> {
    // An error here means that the parent is gone, which needs no message.
    send_reports(args).ok();
    Ok(ExitCode::SUCCESS)
}

fn send_reports(args: &Args) -> io::Result<()> {
    let (path, json) = (Path::new(&args.path), args.json);
    let deadline = Instant::now() + TIME_LIMIT;
    let send = |message: &Message| reply(serde_json::to_string(message)?);
    let facts = match Facts::of(path) {
        Ok(facts) => facts,
        Err(error) => return send(&Message::Failed(error.to_string())),
    };
    let trial_directory = facts.trial_directory.clone();
    let mut report = Report::new(path, Some(facts));
    send(&message(&report, json))?;
    trial::run(&trial_directory, deadline, &mut |outcome| {
        report.add(outcome);
        send(&message(&report, json))
    })?;
    report.complete();
    send(&message(&report, json))
}
