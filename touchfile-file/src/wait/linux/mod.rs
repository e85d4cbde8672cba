//! What Linux tells of, and how those who wait find each other.

mod census;
mod releases;
mod station;
mod table;
mod turnstile;

pub(crate) use census::{Inquiry, MARK};
pub(crate) use releases::{Releases, announce};
pub(crate) use turnstile::{Follower, Leader, Line, Place, Turn};
