//! What the simulator promises, one module for each part of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod capabilities;
mod converting;
mod exclusion;
mod faults;
mod files;
mod history;
mod interleavings;
mod processes;
mod support;
mod waiting;
