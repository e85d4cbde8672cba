//! Running the command on Windows, from when the locks are held.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use touchfile::LockBackend;

use super::{Ended, Supervision};
use crate::exit::Failure;
use crate::run::job::{Job, ignore_ctrl_c};
use crate::run::locks::VARIABLE;
use crate::run::name;

/// A lock of Windows belongs to a process: no command inherits it.
pub(in crate::run) trait Inheritable {}

impl<T> Inheritable for T {}

/// Nothing has to be done for Ctrl-C to end a process that waits.
pub(in crate::run) fn exit_on_signals() {}

/// How often the end of a command with a time limit is looked for.
const LOOK: Duration = Duration::from_millis(20);

impl<B: LockBackend> Supervision<'_, B> {
    /// Runs the command and waits for its end.
    ///
    /// The console sends Ctrl-C and Ctrl-Break to the command itself, and this process goes on until the
    /// command has ended.
    pub(in crate::run) fn run(self, command: &[OsString], (): ()) -> Result<Ended, Failure> {
        if self.kill_after.is_some() {
            return Err(Failure::usage(
                "--kill-after is for systems with signals: on Windows --limit ends COMMAND at once"
                    .into(),
            ));
        }
        let name = name(command);
        let mut job = None;
        if !self.inherited.is_empty() {
            job = Some(Job::with_this_process().map_err(|error| Failure::job(&error))?);
        }
        ignore_ctrl_c().map_err(|error| Failure::signals(&error))?;
        let (program, arguments) = command.split_first().expect("the parser wants a command");
        let mut start = Command::new(program);
        start.args(arguments);
        if let Some(locks) = &self.locks {
            start.env(VARIABLE, locks);
        }
        let child = start.spawn();
        let mut child = child.map_err(|error| Failure::spawn(&name, &error))?;
        let ended = wait(&mut child, self.limit).map_err(|error| Failure::wait(&name, &error))?;
        // What the command has left in the background goes on, unless its time is over.
        if let Some(job) = job.filter(|_| !ended.over) {
            job.let_go().map_err(|error| Failure::wait(&name, &error))?;
        }
        Ok(ended)
    }

    /// Windows cannot replace a process.
    pub(in crate::run) fn replace_this_process(self, _: &[OsString]) -> Failure {
        Failure::usage("--exec is for Unix: Windows cannot replace a process by another".into())
    }
}

fn wait(child: &mut Child, limit: Option<Duration>) -> io::Result<Ended> {
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut over = false;
    let status = loop {
        let Some(end) = end else {
            break child.wait()?;
        };
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() && !over {
            over = true;
            child.kill()?;
        }
        thread::sleep(left.clamp(Duration::from_millis(1), LOOK));
    };
    Ok(Ended {
        status,
        over,
        lost: false,
    })
}
