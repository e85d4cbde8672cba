//! Children that are started: Windows cannot fork.

use std::env;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::process::command::Answer;

/// Says in the environment of a child that it is to do nothing but live.
const IDLE: &str = "TOUCHFILE_TESTKIT_IDLE";

/// Children that live on until they are ended.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<Child>);

impl Children {
    pub(crate) fn fork(&mut self) -> Answer {
        unable()
    }

    /// Starts this program again, to do nothing but live.
    pub(crate) fn spawn(&mut self) -> Answer {
        let program = env::current_exe().and_then(|program| {
            Command::new(program)
                .args(env::args_os().skip(1))
                .env(IDLE, "1")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        });
        match program {
            Ok(child) => {
                let pid = child.id();
                self.0.push(child);
                Answer::Pid(pid)
            }
            Err(error) => Answer::Unable(format!("this program cannot be started: {error}")),
        }
    }

    pub(crate) fn end(&mut self) {
        for mut child in self.0.drain(..) {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lives on for a while and ends, if that is all that this process is for.
pub(crate) fn live_on_if_asked() {
    if env::var_os(IDLE).is_some() {
        thread::sleep(Duration::from_secs(60));
        std::process::exit(0);
    }
}

pub(crate) fn run_in_child(work: impl FnOnce()) -> Answer {
    drop(work);
    unable()
}

fn unable() -> Answer {
    Answer::Unable("Windows cannot fork".into())
}
