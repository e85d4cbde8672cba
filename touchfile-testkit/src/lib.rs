//! The laws of locking, executable: a conformance suite for any touchfile backend.
#![forbid(unsafe_code)]

#[cfg(feature = "broken")]
pub mod broken;
mod free;
mod law;

pub use law::Law;
