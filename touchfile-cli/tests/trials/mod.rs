//! Tests that can say that they were skipped, and why.

use std::fmt;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Completion, Failed};

/// Why a test was not made.
#[derive(Debug)]
pub(crate) struct Skipped(String);

/// What a test returns that may be skipped.
pub(crate) type Tried = Result<(), Skipped>;

pub(crate) fn skip(why: impl fmt::Display) -> Tried {
    Err(Skipped(why.to_string().trim().to_owned()))
}

pub(crate) fn needs_root() -> Tried {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        skip("needs root")
    }
}

#[allow(dead_code, reason = "not all test programs need others")]
pub(crate) fn needs(program: &str) -> Tried {
    match Command::new(program).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) => skip(format!("{program}: {error}")),
    }
}

/// By another process: a child that another test forks while this one writes would have the copy open
/// for writing until it executes, and it could not be executed itself until then (ETXTBSY).
pub(crate) fn copy_program(program: &Path, copy: &Path) {
    let done = Command::new("cp").arg(program).arg(copy).status();
    assert!(done.is_ok_and(|status| status.success()));
}

/// What a test returns, skipped or not.
pub(crate) trait Outcome {
    fn completion(self) -> Result<Completion, Failed>;
}

impl Outcome for () {
    fn completion(self) -> Result<Completion, Failed> {
        Ok(Completion::Completed)
    }
}

impl Outcome for Tried {
    fn completion(self) -> Result<Completion, Failed> {
        Ok(match self {
            Ok(()) => Completion::Completed,
            Err(Skipped(why)) => Completion::ignored_with(format!("skipped: {why}")),
        })
    }
}

/// Runs these functions as tests, and exits; they are for Linux.
macro_rules! run {
    ($($test:path),* $(,)?) => {{
        let tests = vec![$(
            libtest_mimic::Trial::ignorable_test(stringify!($test).replace(' ', ""), || {
                if cfg!(target_os = "linux") {
                    crate::trials::Outcome::completion($test())
                } else {
                    Ok(libtest_mimic::Completion::ignored_with("skipped: for Linux"))
                }
            })
        ),*];
        libtest_mimic::run(&libtest_mimic::Arguments::from_args(), tests).exit()
    }};
}
pub(crate) use run;
