//! Telling the user that the lock is being waited for.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::unistd::{getpgrp, tcgetpgrp};
use touchfile::{Builder, Holder, LockBackend, WaitEvent};

use crate::exit::say;

/// A shorter wait is not worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// How often it is looked who holds the lock, for somebody who watches.
const LOOK: Duration = Duration::from_secs(5);

/// What is shown during a wait. Standard output is the command's alone: this uses standard error.
#[derive(Debug)]
pub(crate) enum Progress {
    /// One line, for a log.
    Line,
    /// A line that moves and goes away, for somebody who watches.
    Spinner(ProgressBar),
}

impl Progress {
    pub(crate) fn new() -> Self {
        if !is_watched() {
            return Self::Line;
        }
        let style = ProgressStyle::with_template("{spinner} [{elapsed}] {wide_msg}")
            .expect("the template is a constant");
        let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self::Spinner(spinner.with_style(style))
    }

    /// Lets what is built show its waits.
    pub(crate) fn show_waits_of<B: LockBackend>(&self, builder: Builder<B>) -> Builder<B> {
        match self {
            Self::Line => {
                let once = Once::new();
                builder.on_wait(PATIENCE, move |wait| once.call_once(|| say(&message(wait))))
            }
            // The wait itself turns the spinner: with no thread for it, there is none that a
            // signal could be delivered to.
            Self::Spinner(spinner) => {
                let spinner = spinner.clone();
                let once = Once::new();
                let looks = AtomicU32::new(u32::MAX);
                builder.on_wait(TURN, move |wait| {
                    if wait.waited() < PATIENCE {
                        return;
                    }
                    once.call_once(|| {
                        spinner.clone().with_elapsed(wait.waited());
                    });
                    // It may pass from one to the next while this waits.
                    let count = u32::try_from(wait.waited().as_secs() / LOOK.as_secs());
                    let count = count.unwrap_or(u32::MAX);
                    if looks.swap(count, Ordering::Relaxed) != count {
                        spinner.set_message(message(wait));
                    }
                    spinner.tick();
                })
            }
        }
    }

    /// Ends what is shown, so that the terminal is the command's.
    pub(crate) fn finish(self) {
        if let Self::Spinner(spinner) = self {
            spinner.finish_and_clear();
        }
    }
}

fn message(wait: &WaitEvent<'_>) -> String {
    let line = format!(
        "waiting for the {} lock on {}",
        wait.mode(),
        wait.path().display()
    );
    // Where it cannot be told, there is less to say.
    match Holder::in_words(&wait.holders().unwrap_or_default()) {
        Some(holders) => format!("{line}, {holders}"),
        None => line,
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
