//! Reports to the user that the command waits for a lock.

mod line;
mod message;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use touchfile::{Holder, LockBackend, TouchFileBuilder, WaitEvent};

#[cfg(unix)]
use crate::child::{Launch, reap};
use crate::exit::say;
use line::Line;
use message::Message;

/// Shorter waits are not reported.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// How often the line is drawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// How often the holders are looked up while the line is shown.
const HOLDER_INTERVAL: Duration = Duration::from_secs(5);

/// The command that runs when a wait becomes long.
#[derive(Debug)]
pub(crate) struct OnWait {
    script: OsString,
    once: Once,
}

impl OnWait {
    /// A command that the shell executes.
    pub(crate) fn new(script: OsString) -> Self {
        Self {
            script,
            once: Once::new(),
        }
    }

    /// Runs the command at the first call. It does not wait for its end, because the lock may become free
    /// at any moment.
    fn run(&self, wait: &WaitEvent<'_>) {
        self.once.call_once(|| {
            if let Err(error) = self.start(wait) {
                say(&format!("cannot run the --on-wait command: {error}"));
            }
        });
    }

    #[cfg(unix)]
    fn start(&self, wait: &WaitEvent<'_>) -> io::Result<()> {
        let words = ["/bin/sh".into(), "-c".into(), self.script.clone()];
        let command = Launch::new(&words).env("TOUCHFILE_WAITING", wait.path().into());
        command.aside().start().map(drop)
    }

    #[cfg(windows)]
    fn start(&self, wait: &WaitEvent<'_>) -> io::Result<()> {
        use std::os::windows::io::AsHandle;
        use std::os::windows::process::CommandExt;
        use std::process::{Command, Stdio};

        let mut command = Command::new("cmd");
        // The shell has its own rules of quoting.
        command.raw_arg("/C").raw_arg(&self.script);
        command
            .env("TOUCHFILE_WAITING", wait.path())
            .stdin(Stdio::null())
            .stdout(io::stderr().as_handle().try_clone_to_owned()?)
            .spawn()
            .map(drop)
    }
}

/// There is nothing to reap.
#[cfg(windows)]
fn reap() {}

/// What is shown and run during a wait. All output goes to standard error, because standard output
/// belongs to the command.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: Shown,
    on_wait: Option<Arc<OnWait>>,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    /// A single line, for a log.
    Once,
    /// A line on a terminal that is redrawn, and erased in the end.
    Line(Arc<Line>),
}

impl Progress {
    /// Chooses how waits are shown. With `quiet` they are not shown.
    pub(crate) fn new(on_wait: Option<OnWait>, quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if is_watched() {
            Shown::Line(Arc::default())
        } else {
            Shown::Once
        };
        let on_wait = on_wait.map(Arc::new);
        Self { shown, on_wait }
    }

    /// Lets the lock report its waits.
    pub(crate) fn show_waits_of<B: LockBackend>(
        &self,
        builder: TouchFileBuilder<B>,
    ) -> TouchFileBuilder<B> {
        let on_wait = self.on_wait.clone();
        let begin = move |wait: &WaitEvent<'_>| {
            if let Some(on_wait) = &on_wait {
                on_wait.run(wait);
            }
        };
        let once = Once::new();
        match &self.shown {
            Shown::Nothing => builder.on_wait(LONG_WAIT, move |wait| {
                reap();
                once.call_once(|| begin(wait));
            }),
            Shown::Once => builder.on_wait(LONG_WAIT, move |wait| {
                reap();
                once.call_once(|| {
                    say(&message(wait, &holders(wait)).whole());
                    begin(wait);
                });
            }),
            // The callback of the wait redraws the line, so no thread is needed.
            Shown::Line(line) => {
                let line = line.clone();
                let seen = Mutex::new((u64::MAX, Vec::new()));
                builder.on_wait(REDRAW_INTERVAL, move |wait| {
                    reap();
                    if wait.waited() < LONG_WAIT {
                        return;
                    }
                    once.call_once(|| begin(wait));
                    // The holder may change during the wait.
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    let look = wait.waited().as_secs() / HOLDER_INTERVAL.as_secs();
                    if seen.0 != look {
                        *seen = (look, holders(wait));
                    }
                    let message = message(wait, &seen.1);
                    line.draw(wait.waited(), |columns| message.within(columns));
                })
            }
        }
    }

    /// Erases the line before the command uses the terminal.
    pub(crate) fn finish(self) {
        if let Shown::Line(line) = self.shown {
            line.erase();
        }
    }
}

/// The holders of the lock. There are none if they cannot be found out.
fn holders(wait: &WaitEvent<'_>) -> Vec<Holder> {
    wait.holders().unwrap_or_default()
}

fn message<'a>(wait: &'a WaitEvent<'_>, holders: &'a [Holder]) -> Message<'a> {
    Message {
        mode: wait.mode(),
        permits: wait.permits(),
        path: wait.path(),
        holders,
    }
}

/// Whether standard error is a terminal that can erase, and this process is in the foreground. A
/// background job would draw over the input of the user.
#[cfg(unix)]
fn is_watched() -> bool {
    use nix::unistd::{getpgrp, tcgetpgrp};

    let stderr = io::stderr();
    stderr.is_terminal()
        && env::var_os("TERM").is_some_and(|term| term != "dumb")
        && tcgetpgrp(&stderr).is_ok_and(|foreground| foreground == getpgrp())
}

/// Consoles of Windows need not know how to erase, but those that set one of these variables do.
#[cfg(windows)]
fn is_watched() -> bool {
    io::stderr().is_terminal()
        && (env::var_os("WT_SESSION").is_some()
            || env::var_os("TERM").is_some_and(|term| term != "dumb"))
}
