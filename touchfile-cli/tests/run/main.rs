//! `touchfile run`, as a shell or cron runs it.
//!
//! The tests read /proc to find out which processes wait, so they are for Linux.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod arguments;
mod backends;
mod bad_input;
mod deadlines;
mod display;
mod exclusion;
mod inheritance;
mod init;
mod jobs;
mod on_lost;
mod several;
mod signal_state;
mod signals;
mod status;
mod support;
mod terminal;
