//! A conformance suite that tries the laws of locking on any touchfile backend.
//!
//! A backend has this crate as a dev-dependency and one line in `tests/conformance.rs`. Then
//! `cargo test` runs the suite against the backend, in real processes:
//!
//! ```no_run
//! # use touchfile_mock::MockBackend;
//! # struct MyBackend;
//! # impl MyBackend { fn new(_: &std::path::Path) -> MockBackend { MockBackend::new() } }
//! touchfile_testkit::conformance_main!(|env| MyBackend::new(env.dir()));
//! ```
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! What the backend claims in its [`Capabilities`](touchfile_core::Capabilities) must hold, and
//! what it does not claim must be refused. Each finding names the [`Law`] that is broken and shows
//! how it was broken. A finding of a random schedule ends with a few lines that play the schedule
//! again.
//!
//! Arguments of `cargo test` choose cases by their names, as in `cargo test --test conformance -- fork`.
//!
//! | variable | |
//! |---|---|
//! | `TOUCHFILE_TESTKIT_CASES` | how many random schedules each case tries: more find more |
//! | `TOUCHFILE_TESTKIT_SEED` | repeats a run |
//!
//! # What is tried
//!
//! There are four groups of cases:
//!
//! - *Lock-step* cases play random schedules one step at a time, and compare each answer with a
//!   model. A schedule that fails is shrunk to a few steps.
//! - *Free* cases let processes race, and judge afterwards whether their observations are possible.
//! - *Directed* cases each try one known way to get locks wrong.
//! - *Walks* make random calls in one process, tens of thousands of them, and check the lock with
//!   another handle after each call.
//!
//! # What is where
//!
//! - [`conformance_main!`] is all that most backends need. It can
//!   [skip a case](conformance_main#examples), with a reason.
//! - [`Suite`] is what the macro makes: for settings of one's own, for workers on other hosts ([`Place`]),
//!   and for programs that run the suite themselves ([`Observer`], [`Report`]).
//! - [`Law`] are the laws, [`Finding`] is how one was broken, and [`Step`] what a schedule is made of.
//! - `broken`, behind the feature of that name, has backends that are each wrong in one way: for testing
//!   suites, not for locking.
#![doc(html_root_url = "https://docs.rs/touchfile-testkit/latest")]
#![forbid(unsafe_code)]

#[cfg(all(feature = "broken", unix))]
pub mod broken;
#[macro_use]
mod case;
mod countdown;
mod directed;
mod fixture;
#[cfg(all(unix, any(test, feature = "broken")))]
mod flock;
mod free;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handles;
mod lasting;
mod law;
mod leftovers;
mod lockstep;
mod meeting;
mod past;
mod process;
mod suite;
mod system;
mod timing;
mod walk;
pub mod worker;

pub use case::Finding;
pub use law::Law;
pub use lockstep::Step;
pub use process::Place;
pub use suite::{CaseReport, Env, Observer, Report, Suite, Verdict};
pub use touchfile_core::LockMode;
