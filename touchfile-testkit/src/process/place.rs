//! Where worker processes run, if not simply here.

use std::ffi::OsString;
use std::path::PathBuf;

/// A place where worker processes run that see the lock files under another path, such as a client
/// of a network file system in a namespace of its own.
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
    /// Where processes see as `dir` the directory that [`Suite::dir`](crate::Suite::dir) names.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            launcher: Vec::new(),
        }
    }

    /// What starts a worker there: a command, followed by the program and arguments of the worker.
    ///
    /// It must run the worker on this machine, with the environment, standard input and standard
    /// output it has itself, and *become* the worker, by exec: the suite kills and stops what it
    /// started.
    pub fn launcher<S: Into<OsString>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.launcher = command.into_iter().map(Into::into).collect();
        self
    }
}
