//! Tests that can be skipped with a reason.

use std::fmt;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Completion, Failed};

/// The reason why a test was skipped.
#[derive(Debug)]
pub(crate) struct Skipped(String);

/// The result of a test that may be skipped.
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

/// Another process makes the copy. If this one wrote it, a child of another test could have it open for
/// writing for a moment, and it could not be executed (ETXTBSY).
pub(crate) fn copy_program(program: &Path, copy: &Path) {
    let done = Command::new("cp").arg(program).arg(copy).status();
    assert!(done.is_ok_and(|status| status.success()));
}

/// The result of any test.
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

/// Runs these functions as tests, and exits. They are for Linux.
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
