//! Paths that are short enough for the system.

use std::borrow::Cow;
#[cfg(unix)]
use std::env;
use std::path::{self, Path};

/// A short absolute path of the current directory (`proc_pid_cwd(5)`).
const CURRENT_DIRECTORY: &str = "/proc/self/cwd";

/// The longest path that a call takes. On Windows std takes any.
#[cfg(unix)]
const LONGEST: usize = nix::libc::PATH_MAX as usize;
#[cfg(windows)]
const LONGEST: usize = usize::MAX;

/// How long the part of a path may be that is added to a directory.
const SPARE: usize = 512;

/// `path`, or a shorter path of the same file. The library makes paths absolute, and in a very deep
/// directory that path would be too long for the system.
pub(crate) fn reachable(path: &Path) -> Cow<'_, Path> {
    let longest = LONGEST - SPARE;
    let is_long = || path::absolute(path).is_ok_and(|path| path.as_os_str().len() > longest);
    if path.is_relative() && is_long() && Path::new(CURRENT_DIRECTORY).is_dir() {
        return Path::new(CURRENT_DIRECTORY).join(path).into();
    }
    path.into()
}

/// The long form of a path that [`reachable`] has made, to compare it with others.
#[cfg(unix)]
pub(crate) fn whole(path: &Path) -> Cow<'_, Path> {
    match (path.strip_prefix(CURRENT_DIRECTORY), env::current_dir()) {
        (Ok(rest), Ok(directory)) => directory.join(rest).into(),
        _ => path.into(),
    }
}
