//! Children that are forked.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fork::{Fork, fork};
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, waitpid};

use crate::process::command::Answer;
use crate::system;

/// Children that live on until they are ended.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<Pid>);

impl Children {
    /// Forks a child that does nothing and lives until it is killed.
    pub(crate) fn fork(&mut self) -> Answer {
        if let Some(unable) = unable_to_fork() {
            return unable;
        }
        let parent = getpid();
        match fork() {
            Ok(Fork::Child) => live_as_long_as(parent),
            Ok(Fork::Parent(pid)) => self.keep(pid),
            Err(error) => Answer::Unable(format!("fork: {error}")),
        }
    }

    /// Starts another program that does nothing and lives until it is killed.
    pub(crate) fn spawn(&mut self) -> Answer {
        let mut sleep = Command::new("sleep");
        sleep
            .arg("60")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match sleep.spawn() {
            Ok(child) => {
                wait_for_exec(child.id());
                self.keep(i32::try_from(child.id()).unwrap_or(0))
            }
            Err(error) => Answer::Unable(format!("sleep(1): {error}")),
        }
    }

    pub(crate) fn end(&mut self) {
        for pid in self.0.drain(..) {
            // Nothing else waits for this child.
            kill_process(pid, Signal::KILL).ok();
            rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty())).ok();
        }
    }

    fn keep(&mut self, pid: i32) -> Answer {
        self.0.extend(Pid::from_raw(pid));
        Answer::Pid(pid.unsigned_abs())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits until a child has closed the descriptors that it does not inherit.
///
/// A spawn returns when the child has its new address space, a moment before its close-on-exec
/// descriptors are closed (`begin_new_exec` in the kernel's fs/exec.c). If the parent were killed in
/// that moment, its locks would be held until then, whatever the backend does. The kernel sets the
/// new name of the process last.
fn wait_for_exec(child: u32) {
    let comm = format!("/proc/{child}/comm");
    for _ in 0..1_000 {
        if fs::read(&comm).is_ok_and(|name| name == b"sleep\n") {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lives until the parent has ended, so that nothing is left if the suite is killed.
fn live_as_long_as(parent: Pid) -> ! {
    while getppid() == Some(parent) {
        thread::sleep(Duration::from_millis(200));
    }
    std::process::exit(0);
}

/// Runs `work` in a forked child, and waits for the end of the child.
pub(crate) fn run_in_child(work: impl FnOnce()) -> Answer {
    if let Some(unable) = unable_to_fork() {
        return unable;
    }
    match fork() {
        Ok(Fork::Child) => {
            let panicked = catch_unwind(AssertUnwindSafe(work)).is_err();
            std::process::exit(i32::from(panicked));
        }
        Ok(Fork::Parent(pid)) => {
            let ended =
                rustix::io::retry_on_intr(|| waitpid(Pid::from_raw(pid), WaitOptions::empty()));
            match ended {
                Ok(Some((_, status))) if status.exit_status() == Some(0) => Answer::Done,
                Ok(status) => Answer::Panicked(format!("the child ended badly: {status:?}")),
                Err(error) => Answer::Unable(format!("waitpid: {error}")),
            }
        }
        Err(error) => Answer::Unable(format!("fork: {error}")),
    }
}

/// Why this process cannot be forked: only a process of one thread can be forked safely, and a
/// backend may have started another thread.
pub(crate) fn unable_to_fork() -> Option<Answer> {
    // A thread that was joined may still be counted for a moment.
    for _ in 0..50 {
        if system::threads() == 1 {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let threads = system::threads();
    Some(Answer::Unable(format!(
        "a process of {threads} threads cannot be forked safely"
    )))
}
