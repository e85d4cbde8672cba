//! `touchfile doctor`: what a lock is worth in a directory.
//!
//! What the system says of the file system and its mount ([`facts`]) is judged ([`advice`]), then
//! child processes try what can be tried from one host ([`trial`], [`worker`]).

mod advice;
mod exports;
mod facts;
mod report;
mod trial;
pub(crate) mod worker;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::exit::Failure;
use facts::Facts;
use report::Report;
use trial::Tried;

/// When it says what it knows by then. A server that does not answer can keep a call for ever.
const PATIENCE: Duration = Duration::from_millis(1_800);

const DETAILS: &str = "\
Tell what a lock is worth on the file system of PATH

Says which file system it is and how it is mounted, which way of locking fits,
whom a lock excludes there, and why. Then two processes try it, with new files
next to PATH that are removed again: whether they exclude each other, whether a
lock is free when its holder is killed, and whether a file that was replaced is
noticed. Other hosts cannot be tried from here.

It ends in two seconds, even if the server of the file system does not answer.
`touchfile conformance` tries more, and takes longer.";

const EXAMPLES: &str = "\
Examples:
  touchfile doctor
  touchfile doctor /mnt/share/locks
  touchfile doctor --json /srv/app | jq -r .verdict

Exit status:
  0        a lock excludes all who can get at the files
  1        a lock excludes nobody, or what was tried failed
  2        a lock excludes some, or it is not known whom: the verdict says
  64       wrong usage
  66       PATH cannot be looked at";

/// Tell what a lock is worth on the file system of PATH
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// A directory, or a lock file that is there or will be
    #[arg(value_name = "PATH", default_value = ".")]
    path: OsString,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let path = PathBuf::from(&args.path);
    let (sender, findings) = mpsc::channel();
    // It is left alone if it is stuck: the end of the process takes it along.
    let examiner = thread::Builder::new().name("examiner".into());
    let examined = path.clone();
    examiner
        .spawn(move || examine(&examined, deadline, &sender))
        .map_err(|error| Failure::look(&path, &error))?;

    let mut facts = None;
    let mut tried = Vec::new();
    let mut in_time = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match findings.recv_timeout(left) {
            Ok(Finding::Facts(found)) => facts = Some(found?),
            Ok(Finding::Tried(outcome)) => tried.push(outcome),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                in_time = false;
                break;
            }
        }
    }
    let report = Report::new(&path, facts, tried, in_time);
    let text = if args.json {
        report.to_json()
    } else {
        report.to_text()
    };
    // Whoever does not read it to its end still gets the exit status.
    io::stdout().write_all(text.as_bytes()).ok();
    Ok(ExitCode::from(report.status()))
}

/// What the examiner has found out.
enum Finding {
    Facts(Result<Facts, Failure>),
    Tried(Tried),
}

/// Every call in here may take for ever.
fn examine(path: &Path, deadline: Instant, findings: &mpsc::Sender<Finding>) {
    let facts = Facts::of(path).map_err(|error| Failure::look(path, &error));
    let place = facts.as_ref().ok().map(|facts| facts.place.clone());
    if findings.send(Finding::Facts(facts)).is_err() {
        return;
    }
    let Some(place) = place else { return };
    trial::run(&place, deadline, &mut |outcome| {
        findings.send(Finding::Tried(outcome)).is_ok()
    });
}
