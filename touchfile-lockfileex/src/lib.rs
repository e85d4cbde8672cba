//! The LockFileEx backend of touchfile, for Windows.
//!
//! `LockFileExBackend` locks one byte that lies far beyond the end of any file. It excludes every other
//! program that locks the whole file, as std's `File::lock`, fs4, cargo and Go's own tools do.
//!
//! # Platform-specific behavior
//!
//! The crate is empty on systems that are not Windows. It is tested under Wine 8, and was not run on
//! Windows itself.
#![doc(html_root_url = "https://docs.rs/touchfile-lockfileex/latest")]
#![deny(unsafe_code)] // allowed in `call` only

#[cfg(windows)]
mod backend;
#[cfg(windows)]
mod call;

#[cfg(windows)]
pub use backend::{LockFileEx, LockFileExBackend, LockFileExHandle};
