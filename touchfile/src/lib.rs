//! Locks on touch files: one at a time, across processes, in async and blocking Rust.
#![forbid(unsafe_code)]

pub use touchfile_core::*;
pub use touchfile_flock::FlockBackend;
