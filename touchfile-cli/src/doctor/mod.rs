//! `touchfile doctor`: what a lock is worth in a directory.
//!
//! What the system says of the file system and its mount ([`facts`]) is judged ([`advice`]), then
//! child processes try what can be tried from one host ([`trial`], [`worker`]).

mod advice;
mod exports;
mod facts;
mod json;
mod report;
mod trial;
pub(crate) mod worker;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::exit::Failure;
use crate::output;
use facts::Facts;
use report::Report;

/// After this time the doctor prints what is known by then. A server that does not answer can block
/// a call for ever.
const TIME_LIMIT: Duration = Duration::from_millis(1_800);

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
  66       PATH cannot be looked at
  74       the report cannot be printed";

/// Tell what a lock is worth on the file system of PATH
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// A directory, or a lock file that is there or will be
    #[arg(value_name = "PATH", default_value = ".", value_hint = clap::ValueHint::AnyPath)]
    path: OsString,
}

/// Prints the last report that the examiner has sent in time.
///
/// The examiner is another process, which makes all the calls that may block for ever. While the
/// file system is stuck it may not even be killed; then it is left behind.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let deadline = Instant::now() + TIME_LIMIT;
    let path = Path::new(&args.path);
    // This is checked without any access to the file system.
    if args.path.is_empty() {
        return Err(Failure::empty_path());
    }
    let mut examiner = start(args).map_err(|error| Failure::look(path, &error))?;
    let mut output = examiner.stdout.take().expect("it was asked for");
    let (sender, records) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(&mut output);
        let mut record = Vec::new();
        while matches!(output.read_until(END, &mut record), Ok(1..)) && record.ends_with(&[END]) {
            if sender.send(std::mem::take(&mut record)).is_err() {
                return;
            }
        }
    });
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match records.recv_timeout(left) {
            Ok(record) => last = Some(record),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                examiner.kill().ok();
                break;
            }
        }
    }
    let (status, text) = match last.as_deref().and_then(<[u8]>::split_first) {
        Some((status, text)) => {
            let text = text.strip_suffix(&[END]).unwrap_or(text);
            (status.wrapping_sub(STATUS), text.to_owned())
        }
        None => record(&Report::new(path, None), args.json),
    };
    if status == FAILED {
        // The text is the error as the examiner has sent it, in one line.
        return Err(Failure::look(
            path,
            &io::Error::other(String::from_utf8_lossy(&text)),
        ));
    }
    output::print(text)?;
    Ok(ExitCode::from(status))
}

/// The byte that ends each report of the examiner. The first byte of a report is the exit status.
const END: u8 = 0;

/// The offset of the exit status, so that its byte differs from [`END`].
const STATUS: u8 = b'0';

/// The status of a report that is an error: the path cannot be looked at.
const FAILED: u8 = 9;

fn start(args: &Args) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("doctor-examiner");
    if args.json {
        command.arg("--json");
    }
    command
        .arg("--")
        .arg(&args.path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

fn record(report: &Report, json: bool) -> (u8, Vec<u8>) {
    let text = if json {
        report.to_json()
    } else {
        report.to_text()
    };
    // The text is printable, so that it contains no [`END`].
    (report.status(), text.into_bytes())
}

/// The examiner: makes the calls that may block, and sends a report to the parent.
pub(crate) fn examine(args: &Args) -> Result<ExitCode, Failure> {
    let (path, json) = (Path::new(&args.path), args.json);
    let deadline = Instant::now() + TIME_LIMIT;
    // A report is sent whenever more is known, as each of the calls may block for ever.
    let say = |(status, text): (u8, Vec<u8>)| {
        let record = [&[STATUS + status], &text[..], &[END]].concat();
        let mut stdout = io::stdout();
        let said = stdout.write_all(&record).and_then(|()| stdout.flush());
        said.is_ok()
    };
    let facts = match Facts::of(path) {
        Ok(facts) => facts,
        Err(error) => {
            say((FAILED, error.to_string().into_bytes()));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let trial_directory = facts.trial_directory.clone();
    let mut report = Report::new(path, Some(facts));
    if !say(record(&report, json)) {
        return Ok(ExitCode::SUCCESS);
    }
    trial::run(&trial_directory, deadline, &mut |outcome| {
        report.add(outcome);
        say(record(&report, json))
    });
    report.complete();
    say(record(&report, json));
    Ok(ExitCode::SUCCESS)
}
