//! Names of files that the system can look up.

use std::borrow::Cow;
#[cfg(unix)]
use std::env;
use std::path::{self, Path};

/// The current directory under a name that is absolute and short (`proc_pid_cwd(5)`).
const CURRENT_DIRECTORY: &str = "/proc/self/cwd";

/// The longest name that a call takes; std takes any on Windows.
#[cfg(unix)]
const LONGEST: usize = nix::libc::PATH_MAX as usize;
#[cfg(windows)]
const LONGEST: usize = usize::MAX;

/// How long the name of a file next to another may be, with a directory of its own in between.
const SPARE: usize = 512;

/// `path`, or another name for the same file if it is relative to a directory so deep that no call
/// takes its absolute name, which the library makes.
pub(crate) fn reachable(path: &Path) -> Cow<'_, Path> {
    let longest = LONGEST - SPARE;
    let is_long = || path::absolute(path).is_ok_and(|path| path.as_os_str().len() > longest);
    if path.is_relative() && is_long() && Path::new(CURRENT_DIRECTORY).is_dir() {
        return Path::new(CURRENT_DIRECTORY).join(path).into();
    }
    path.into()
}

/// The whole of a name that [`reachable`] made, to compare it with others.
#[cfg(unix)]
pub(crate) fn whole(path: &Path) -> Cow<'_, Path> {
    match (path.strip_prefix(CURRENT_DIRECTORY), env::current_dir()) {
        (Ok(rest), Ok(directory)) => directory.join(rest).into(),
        _ => path.into(),
    }
}
