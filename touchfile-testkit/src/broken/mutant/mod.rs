//! Mutants: correct backends with one fault.
//!
//! A mutant has a *fault* (it grants wrongly, does not release, leaks a descriptor), a *trigger*
//! (always, after a thousand locks of its handle, in a forked child, while a panic unwinds) and a
//! *scope* (the exclusive lock only). Its name has all three.
//!
//! Mutants measure a suite: how many of them does it reject? The example `kill-rate` counts that.
//!
//! # Examples
//!
//! ```
//! use touchfile_mock::MockBackend;
//! use touchfile_testkit::broken::Mutant;
//!
//! let mutant = Mutant::named("grants/after-64/exclusive").unwrap();
//! println!("{} It breaks {}.", mutant.what(), mutant.law());
//! let backend = mutant.over(MockBackend::new());
//! ```

mod attempts;
mod backend;
mod common;
mod convert;
mod fault;
mod flag;
mod handle;
mod path_kind;
mod product;
mod shared;
mod side_effect;
mod site;
mod state;
mod trigger;
mod wait;

use std::collections::BTreeMap;

use touchfile_core::{BoxBackend, LockBackend};

use self::fault::{Claim, Fault};
use self::site::Site;
use self::trigger::{Scope, Trigger};
use crate::Law;

/// A correct backend with one fault, which shows under the conditions of its trigger.
///
/// # Examples
///
/// ```
/// use touchfile_mock::MockBackend;
/// use touchfile_testkit::broken::Mutant;
///
/// let mutant = Mutant::named("grants/after-64/exclusive").unwrap();
/// println!("{} It breaks {}.", mutant.what(), mutant.law());
/// let backend = mutant.over(MockBackend::new());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Mutant {
    fault: Fault,
    trigger: Trigger,
    scope: Scope,
}

impl Mutant {
    /// All mutants, in a fixed order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let sensible = |(mutant, out): (Self, Option<_>)| out.is_none().then_some(mutant);
        product::every().filter_map(sensible).collect()
    }

    /// The mutant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|mutant| mutant.name() == name)
    }

    /// How many combinations of a fault, a trigger and a scope are not mutants, by the reason.
    #[must_use]
    pub fn left_out() -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for why in product::every().filter_map(|(_, why)| why) {
            *counts.entry(why).or_default() += 1;
        }
        counts
    }

    /// Its name, `fault/trigger/scope`. It stays the same when mutants are added.
    #[must_use]
    pub fn name(self) -> String {
        let Self {
            fault,
            trigger,
            scope,
        } = self;
        format!("{}/{}/{}", fault.name(), trigger.name(), scope.name())
    }

    /// What is wrong with it, as a sentence.
    #[must_use]
    pub fn what(self) -> String {
        let fault = self.fault.what();
        let (first, rest) = fault.split_at(1);
        let trigger = self.trigger.what();
        format!(
            "{}{rest}: {trigger}{}.",
            first.to_uppercase(),
            self.scope.what()
        )
    }

    /// The law that it breaks.
    #[must_use]
    pub fn law(self) -> Law {
        self.laws()[0]
    }

    /// The laws that a suite may name: the law that it breaks, and others that forbid the same
    /// behaviour.
    #[must_use]
    pub fn laws(self) -> &'static [Law] {
        self.fault.laws()
    }

    /// The kind of its trigger, in a word.
    #[must_use]
    pub fn dimension(self) -> &'static str {
        self.trigger.dimension()
    }

    /// Whether it needs a backend that can convert locks. Otherwise it needs one that locks with
    /// flock(2).
    #[must_use]
    pub fn converts(self) -> bool {
        self.fault.site() == Site::Convert
            || matches!(
                self.fault,
                Fault::Hides(Claim::Conversion)
                    | Fault::Claims(Claim::ExcludesFlock | Claim::ReadOnly)
            )
    }

    /// The correct backend `honest` with the fault. [`converts`](Self::converts) says which backend the
    /// fault needs.
    #[must_use]
    pub fn over(self, honest: impl LockBackend) -> BoxBackend {
        BoxBackend::new(backend::Mutated::new(self, BoxBackend::new(honest)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_hundreds_and_each_has_a_name_and_a_sentence_of_its_own() {
        let all = Mutant::all();
        assert!(all.len() > 400, "only {}", all.len());
        let names: HashSet<_> = all.iter().map(|mutant| mutant.name()).collect();
        let sentences: HashSet<_> = all.iter().map(|mutant| mutant.what()).collect();
        assert_eq!((names.len(), sentences.len()), (all.len(), all.len()));
    }

    #[test]
    fn no_dimension_is_left_out_as_a_whole() {
        let all = Mutant::all();
        let triggers: HashSet<_> = all.iter().map(|mutant| mutant.trigger.name()).collect();
        assert!(triggers.len() >= 27, "{triggers:?}");
        for row in fault::FAULTS {
            assert!(all.iter().any(|mutant| mutant.fault == row.0), "{}", row.1);
        }
    }
}
