//! `TouchFile` on a file system that can be told to leave a call without an answer: a small FUSE
//! server in this process.
//!
//! The right to mount and /dev/fuse are needed, else all is ignored and said so. This program runs
//! itself again, once for each mount, as a watchman that ends the mount if a SIGKILL ends the test.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod mounted;
#[cfg(target_os = "linux")]
mod server;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("skipped: FUSE as it is used here is Linux's");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    use libtest_mimic::Arguments;

    if mounted::is_watchman() {
        mounted::watch();
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // They count this process's threads and descriptors.
    arguments.test_threads = Some(1);
    let possible = arguments.list || possible();
    let trials = calls::trials().into_iter();
    let trials = trials.map(|trial| trial.with_ignored_flag(!possible));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

#[cfg(target_os = "linux")]
fn possible() -> bool {
    match mounted::Mounted::new() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: FUSE cannot be mounted here: {error}");
            false
        }
    }
}

/// One test: a sentence, and a function that panics if it is not true.
#[cfg(target_os = "linux")]
fn trial(sentence: &'static str, test: fn()) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(sentence, move || {
        test();
        Ok(())
    })
}
