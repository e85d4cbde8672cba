//! Backends that are each wrong in one way. They are for testing suites, not for locking.
//!
//! A conformance suite must reject each of them, and name the law that it breaks.
//!
//! All are thin layers over a correct flock(2) backend. They claim what that backend keeps, unless the
//! claim is what is wrong. Each file here has the backends that break one law or two.
//!
//! # Examples
//!
//! ```
//! for broken in touchfile_testkit::broken::all() {
//!     println!("{}: {} ({})", broken.name, broken.what, broken.law);
//! }
//! ```

mod base;
mod cancelling;
mod claims;
mod converting;
mod errors;
mod exclusion;
mod false_busy;
mod fencing;
mod forking;
mod identity;
mod liveness;
mod mutant;
mod random;
mod release;
mod slow;

#[cfg(test)]
mod tests;

use std::path::Path;

use touchfile_core::BoxBackend;

use crate::Law;

pub use cancelling::{blocks_its_thread, leaks_a_descriptor, leaks_a_thread, takes_it_later};
pub use claims::{
    claims_fcntl, claims_shared, hides_shared, ignores_remove_on_release, refuses_and_takes,
};
pub use converting::{
    child_converts, claims_conversion, converts_with_flock, downgrade_lets_go, upgrade_waits,
};
pub use errors::{contention_is_an_error, gives_up, interrupted_is_an_error};
pub use exclusion::{
    double_grant, exclusive_is_shared, in_process_only, no_op, one_lock_for_all_handles,
    unlocks_others, upgrade_drops_shared, whole_process,
};
pub use false_busy::{
    interrupted_is_busy, one_lock_for_all_files, shared_is_exclusive, spurious_busy,
};
pub use fencing::{
    honest_tokens, no_tokens, tokens_go_backwards, tokens_kept_at_release, tokens_of_a_process,
    tokens_repeat, tokens_unclaimed,
};
pub use forking::{child_prolongs, child_releases, not_close_on_exec};
pub use identity::{ignores_replacement, never_current, removes_too_late};
pub use liveness::{hears_only_itself, lost_wake_up, polls_too_seldom};
pub use mutant::Mutant;
pub use release::{drop_keeps, drop_needs_a_runtime, kept_after_kill, unlock_keeps};
pub use slow::{gives_up_slowly, looks_each_second, tries_for_a_while, unlocks_slowly};

/// A backend that breaks one law.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Broken {
    /// A short name, which is also the name of the backend.
    pub name: &'static str,
    /// What is wrong with it, as a sentence.
    pub what: &'static str,
    /// The law that a suite should name.
    pub law: Law,
    /// Whether single steps, one at a time, show what is wrong. Otherwise it takes races, many attempts
    /// or a case of its own.
    pub in_lockstep: bool,
    /// Makes the backend for lock files in a directory.
    pub make: fn(&Path) -> BoxBackend,
}

/// All broken backends, sorted by the law that they break, and those that are only slow.
#[must_use]
pub fn all() -> Vec<Broken> {
    [
        exclusion::ALL,
        converting::ALL,
        false_busy::ALL,
        cancelling::ALL,
        release::ALL,
        forking::ALL,
        identity::ALL,
        liveness::ALL,
        errors::ALL,
        fencing::ALL,
        claims::ALL,
        slow::ALL,
    ]
    .concat()
}
