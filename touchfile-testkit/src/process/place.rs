//! Places for worker processes.

use std::ffi::OsString;
use std::path::PathBuf;

/// A place for worker processes that see the lock files at another path, such as a client of a
/// network file system in a namespace of its own.
///
/// # Examples
///
/// ```no_run
/// use touchfile_testkit::{Place, Suite};
/// # fn suite() -> Suite { Suite::in_process("mock", |world, process| world.process(process)) }
///
/// suite()
///     .dir("/srv/export")
///     .place(Place::new("/mnt/a").launcher(["ip", "netns", "exec", "a"]))
///     .place(Place::new("/srv/export"))
///     .run();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a place is for `Suite::place`"]
pub struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) launcher: Vec<OsString>,
}

impl Place {
    /// A place where processes see the directory of [`Suite::dir`](crate::Suite::dir) at the path
    /// `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            launcher: Vec::new(),
        }
    }

    /// The command that starts a worker at this place. The program and the arguments of the worker
    /// follow it.
    ///
    /// The command must run on this machine, pass on its environment, standard input and standard
    /// output, and *become* the worker by exec, because the suite stops and kills the process that it
    /// has started.
    pub fn launcher<S: Into<OsString>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.launcher = command.into_iter().map(Into::into).collect();
        self
    }
}
