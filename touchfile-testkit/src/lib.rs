//! The laws of locking, executable: a conformance suite for any touchfile backend.
//!
//! With this crate as a dev-dependency and three lines in `tests/conformance.rs`, the suite runs
//! in `cargo test`, against the backend in real processes:
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
//! how; one of a random schedule ends with a few lines that play it again.
//!
//! There are three groups of cases. *Lock-step* cases play random schedules one step at a time, and compare
//! each answer with a model; a schedule that fails is shrunk to a few steps. *Free* cases let
//! processes race, and judge afterwards whether what they saw can have happened. *Directed* cases
//! are each made for one way in which locks have gone wrong before.
//!
//! Besides, *walks* do everything that can be done with handles at random, in one process and tens of
//! thousands of times, while a witness looks at the lock after each step.
#![forbid(unsafe_code)]

#[cfg(all(feature = "broken", unix))]
pub mod broken;
mod case;
mod countdown;
mod directed;
mod fixture;
mod free;
mod lasting;
mod law;
mod leftovers;
mod lockstep;
mod meeting;
mod process;
mod suite;
mod system;
mod text;
mod walk;
pub mod worker;

pub use case::Finding;
pub use law::Law;
pub use lockstep::Step;
pub use process::Place;
pub use suite::{CaseReport, Env, Observer, Report, Suite, Verdict};
pub use touchfile_core::LockMode;
