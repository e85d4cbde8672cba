//! Tests of the simulator, with a module for each part.
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
