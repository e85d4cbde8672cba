//! Runs the conformance suite with fcntl on a file system in memory, and with ranges of bytes.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use touchfile_fcntl::FcntlBackend;
use touchfile_file::file_system_name;
use touchfile_testkit::Suite;

/// The directory of a tmpfs on Linux (shm_overview(7)).
const TMPFS: &str = "/dev/shm";

fn main() -> ExitCode {
    // A worker executes the commands of its suite here.
    on_tmpfs().work();
    on_a_range().work();
    let there = File::open(TMPFS).map_or("missing".into(), |dir| file_system_name(&dir));
    let tmpfs = Trial::test("the_laws_hold_on_tmpfs", || passes(&on_tmpfs()));
    let trials = vec![
        if there == "tmpfs" {
            tmpfs
        } else {
            tmpfs
                .with_ignored_flag(true)
                .with_kind(format!("skipped: {TMPFS} is {there}"))
        },
        Trial::test("the_laws_hold_for_a_range_of_bytes", || {
            passes(&on_a_range())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn on_tmpfs() -> Suite {
    Suite::new("fcntl-tmpfs", |_| FcntlBackend::new()).dir(Path::new(TMPFS))
}

/// There are fewer schedules, since only the numbers in the system calls differ.
fn on_a_range() -> Suite {
    let range = |_: &_| FcntlBackend::range(1 << 40, 7).expect("there are as many bytes");
    Suite::new("fcntl-range", range).cases(64)
}

fn passes(suite: &Suite) -> Result<(), Failed> {
    let report = suite.clone().check(&())?;
    if report.passed() {
        return Ok(());
    }
    Err(report.to_string().into())
}
