//! All scenarios.

mod auto;
mod cancelling;
mod cut_off;
mod exclusion;
mod replaced;
mod restart;

use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::runner::Scenario;
use crate::worker::Backend;

/// All scenarios. Those in which a server or the network fails come last.
///
/// The restarts come before the clients that are cut off: a server of NFS 4 lets only those clients reclaim
/// their locks that it has written down, and one whose lease ran out is written down again some time after it
/// can take locks.
pub(crate) fn all() -> Vec<Scenario> {
    let mut scenarios = exclusion::scenarios();
    scenarios.extend(auto::scenarios());
    scenarios.extend(replaced::scenarios());
    scenarios.extend(cancelling::scenarios());
    scenarios.extend(restart::scenarios());
    scenarios.extend(cut_off::scenarios());
    scenarios
}

/// A scenario with a backend.
type Play = fn(&Lab, Backend) -> Outcome;

/// One scenario for each backend.
fn for_both(topic: &str, sentence: &str, play: Play) -> impl Iterator<Item = Scenario> {
    Backend::BOTH.into_iter().map(move |backend| {
        let name = format!("{topic}::{}::{sentence}", backend.name());
        Scenario::new(name, move |lab| play(lab, backend))
    })
}
