//! `touchfile who`, asked about locks that all sorts of programs hold.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod file_systems;
mod holders;
#[path = "../mounts/mod.rs"]
mod mounts;
mod strangers;
#[allow(dead_code, reason = "it is for several test programs")]
#[path = "../run/support.rs"]
mod support;
mod terminal;
mod who;
