//! What the simulator promises, one module for each part of it.

mod capabilities;
mod exclusion;
mod faults;
mod files;
mod history;
mod interleavings;
mod processes;
mod support;
mod waiting;
