//! What Linux tells of, and how those who wait find each other.

mod census;
mod interrupt;
mod kernel_wait;
mod releases;
mod station;
mod table;
mod turnstile;

use std::env;
use std::sync::OnceLock;

pub(crate) use census::{Inquiry, MARK};
pub(crate) use kernel_wait::KernelWait;
pub(crate) use releases::{Releases, announce};
pub(crate) use turnstile::{Follower, Leader, Line, Place, Turn};

/// What waiting can do without, and what tests have it do without: words in the environment variable
/// `TOUCHFILE_WAIT_WITHOUT`.
fn is_without(part: &str) -> bool {
    static WITHOUT: OnceLock<String> = OnceLock::new();
    let without = WITHOUT.get_or_init(|| env::var("TOUCHFILE_WAIT_WITHOUT").unwrap_or_default());
    without.split(',').any(|word| word == part)
}
