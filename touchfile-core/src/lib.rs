//! Inter-process locks on touch files.
#![deny(unsafe_code)] // allowed in `file::process` only

mod backend;
pub mod backoff;
mod boxed;
mod capabilities;
mod error;
pub mod file;
mod forward;
mod mode;
mod options;
mod timer;
mod touch_file;

pub use backend::{LockBackend, LockHandle};
pub use boxed::BoxBackend;
pub use capabilities::Capabilities;
pub use error::{Error, ErrorKind, Operation, Result};
pub use mode::{Attempt, LockMode};
pub use options::OpenOptions;
pub use touch_file::{Blocking, Builder, Guard, LockGuard, OwnedLockGuard, TouchFile, WaitEvent};
