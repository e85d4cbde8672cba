//! Free cases: real races, which are judged afterwards.
//!
//! Several processes use a few lock files at random ([`hammer()`]). Each logs when it made each call and
//! when it had the answer. The logs and the times at which processes were killed are a [`History`],
//! which [`check()`] judges.

mod check;
mod hammer;
mod history;
mod join;
mod log;
mod plan;
mod race;
mod random;
mod witness;

pub(crate) use check::{Violation, check};
pub(crate) use hammer::hammer;
pub(crate) use history::History;
#[cfg(feature = "fuzzing")]
pub(crate) use log::Line;
pub(crate) use log::now_ns;
pub(crate) use plan::Plan;
pub(crate) use race::{Who, race};
pub(crate) use random::Random;
pub(crate) use witness::Witness;
