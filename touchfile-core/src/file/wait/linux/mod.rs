//! What Linux tells of, and how those who wait find each other.

mod census;
mod releases;
mod station;
mod table;
mod turnstile;

pub(in crate::file) use census::{Inquiry, MARK};
pub(in crate::file) use releases::{Releases, announce};
pub(in crate::file) use turnstile::{Follower, Leader, Line, Place, Turn};
