//! Telling the user that the lock is being waited for.

mod line;
mod message;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use nix::unistd::{getpgrp, tcgetpgrp};
use touchfile::{Holder, LockBackend, TouchFileBuilder, WaitEvent};

use crate::child::{Launch, reap};
use crate::exit::say;
use line::Line;
use message::Message;

/// A shorter wait is not worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the line is drawn.
const TURN: Duration = Duration::from_millis(100);

/// How often it is looked who holds the lock, for somebody who watches.
const LOOK: Duration = Duration::from_secs(5);

/// A command to run when a wait begins to be long.
#[derive(Debug)]
pub(crate) struct OnWait {
    script: OsString,
    once: Once,
}

impl OnWait {
    /// `script` is for the shell.
    pub(crate) fn new(script: OsString) -> Self {
        Self {
            script,
            once: Once::new(),
        }
    }

    /// Runs it, the first time. Nobody waits for its end: the lock may be free any moment.
    fn run(&self, wait: &WaitEvent<'_>) {
        self.once.call_once(|| {
            let words = ["/bin/sh".into(), "-c".into(), self.script.clone()];
            let started = Launch::new(&words)
                .env("TOUCHFILE_WAITING", wait.path().into())
                .aside()
                .start();
            if let Err(error) = started {
                say(&format!("cannot run the --on-wait command: {error}"));
            }
        });
    }
}

/// What happens during a wait. Standard output is the command's alone: this uses standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: Shown,
    on_wait: Option<Arc<OnWait>>,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    /// One line, for a log.
    Once,
    /// A line that moves and goes away, for somebody who watches.
    Line(Arc<Line>),
}

impl Progress {
    /// What shows waits, unless it is to be `quiet`.
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

    /// Lets what is built show its waits.
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
            Shown::Nothing => builder.on_wait(PATIENCE, move |wait| {
                reap();
                once.call_once(|| begin(wait));
            }),
            Shown::Once => builder.on_wait(PATIENCE, move |wait| {
                reap();
                once.call_once(|| {
                    say(&message(wait, &holders(wait)).whole());
                    begin(wait);
                });
            }),
            // The wait itself draws the line: it needs no thread for that.
            Shown::Line(line) => {
                let line = line.clone();
                let seen = Mutex::new((u64::MAX, Vec::new()));
                builder.on_wait(TURN, move |wait| {
                    reap();
                    if wait.waited() < PATIENCE {
                        return;
                    }
                    once.call_once(|| begin(wait));
                    // It may pass from one to the next while this waits.
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    let look = wait.waited().as_secs() / LOOK.as_secs();
                    if seen.0 != look {
                        *seen = (look, holders(wait));
                    }
                    let message = message(wait, &seen.1);
                    line.draw(wait.waited(), |columns| message.within(columns));
                })
            }
        }
    }

    /// Ends what is shown, so that the terminal is the command's.
    pub(crate) fn finish(self) {
        if let Shown::Line(line) = self.shown {
            line.erase();
        }
    }
}

/// Who has the lock. Where it cannot be told, there is less to say.
fn holders(wait: &WaitEvent<'_>) -> Vec<Holder> {
    wait.holders().unwrap_or_default()
}

fn message<'a>(wait: &'a WaitEvent<'_>, holders: &'a [Holder]) -> Message<'a> {
    Message {
        mode: wait.mode(),
        path: wait.path(),
        holders,
    }
}

/// Whether standard error is a terminal that can erase what it shows, and is ours to draw on: a
/// job in the background would draw over what its user types.
fn is_watched() -> bool {
    let stderr = io::stderr();
    stderr.is_terminal()
        && env::var_os("TERM").is_some_and(|term| term != "dumb")
        && tcgetpgrp(&stderr).is_ok_and(|foreground| foreground == getpgrp())
}
