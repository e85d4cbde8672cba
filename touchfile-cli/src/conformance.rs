//! `touchfile conformance`: tries the laws of locking in a directory.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueHint;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use touchfile::AutoBackend;
#[cfg(unix)]
use touchfile::{FcntlBackend, FlockBackend};
use touchfile_testkit::{CaseReport, Observer, Report, Suite, Verdict};

use crate::exit::Failure;
use crate::output;

const DETAILS: &str = "\
Try the laws of locking on a directory

Runs the conformance suite of touchfile with lock files in DIR, such as an NFS mount, a directory of
a container or a file system in user space. Real processes lock, are killed, fork and play random
schedules. The report has each law with the number of attempts, and shows step by step how a law was
broken.";

const EXAMPLES: &str = "\
Examples:
  touchfile conformance --dir /mnt/share --backend fcntl
  touchfile conformance --dir . --cases 2000 --json report.json
  touchfile conformance --dir . --seed 651957295   # repeat a run

Exit status:
  0        no law was found to be broken
  1        a law is broken
  64       wrong usage
  66       DIR cannot be used
  70       the suite itself failed, so nothing is known
  74       the report cannot be written or printed";

/// Try the laws of locking on a directory
#[derive(clap::Args, Debug)]
#[command(long_about = DETAILS, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The way of locking to try
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = Backend::DEFAULT)]
    backend: Backend,

    /// The directory for the lock files; they are in a new subdirectory, which is removed in the end
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: PathBuf,

    /// How many random schedules to play; other repetitions are in proportion [default: 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,

    /// The seed of all random choices [default: a new one, which the report has]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Write the report to this file as JSON, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Backend {
    /// Flock or fcntl, as it fits the file system of DIR; LockFileEx on Windows
    Auto,
    /// Open-file-description locks of fcntl(2)
    #[cfg(unix)]
    Fcntl,
    /// flock(2)
    #[cfg(unix)]
    Flock,
}

impl Backend {
    #[cfg(unix)]
    const DEFAULT: Self = Self::Flock;
    #[cfg(windows)]
    const DEFAULT: Self = Self::Auto;
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut suite = match args.backend {
        Backend::Auto => Suite::new("auto", |_| AutoBackend::new()),
        #[cfg(unix)]
        Backend::Fcntl => Suite::new("fcntl", |_| FcntlBackend::new()),
        #[cfg(unix)]
        Backend::Flock => Suite::new("flock", |_| FlockBackend::new()),
    };
    // A worker of the suite, which is this program with the same arguments, does not return from here.
    suite.work();
    suite = suite.dir(&args.dir);
    if let Some(cases) = args.cases {
        suite = suite.cases(cases);
    }
    if let Some(seed) = args.seed {
        suite = suite.seed(seed);
    }
    let bar = Bar::new();
    let report = suite.check(&bar);
    bar.bar.finish_and_clear();
    let report = report.map_err(|error| Failure::directory(&args.dir, &error))?;

    // The file is written first, so that it exists even if standard output is closed.
    if let Some(file) = &args.json {
        let saved = output::save(file, &report.to_json());
        saved.map_err(|error| Failure::report_file(file, &error))?;
    }
    output::print(report.to_string())?;
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> ExitCode {
    const BROKEN: u8 = 1;
    const SOFTWARE: u8 = 70; // sysexits.h
    let failed = |case: &CaseReport| matches!(case.verdict, Verdict::Failed(_));
    if report.findings().next().is_some() {
        ExitCode::from(BROKEN)
    } else if report.cases.iter().any(failed) {
        ExitCode::from(SOFTWARE)
    } else {
        ExitCode::SUCCESS
    }
}

/// A progress bar on a terminal.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new() -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("[{elapsed}] {bar:30} {pos}/{len} {wide_msg}")
            .expect("the template is a constant");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }
}

impl Observer for Bar {
    fn planned(&self, cases: &[&str]) {
        self.bar.set_length(cases.len() as u64);
    }

    fn started(&self, case: &str) {
        self.bar.set_message(case.to_owned());
    }

    fn progressed(&self, case: &str, done: u64, of: u64) {
        self.bar.set_message(format!("{case}: {done} of {of}"));
    }

    fn finished(&self, case: &CaseReport) {
        if let Verdict::Broken(finding) = &case.verdict {
            let line = format!("{} is broken ({})", finding.law, case.name);
            self.bar.suspend(|| crate::exit::say(&line));
        }
        self.bar.inc(1);
    }
}
