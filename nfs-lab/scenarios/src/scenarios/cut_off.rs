//! A client without a network for longer than the lease of its locks.

use std::thread;

use super::{Play, for_both};
use crate::lab::{At, Lab};
use crate::outcome::Outcome;
use crate::runner::Scenario;
use crate::worker::{Backend, Worker};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let topics: [(&str, Play); 2] = [
        (
            "a_holder_that_is_cut_off_for_a_moment_keeps_its_lock",
            keeps,
        ),
        (
            "a_holder_that_is_cut_off_for_too_long_loses_its_lock_if_there_are_leases",
            loses,
        ),
    ];
    for (sentence, play) in topics {
        scenarios.extend(for_both("cut_off", sentence, play));
    }
    scenarios
}

fn keeps(lab: &Lab, backend: Backend) -> Outcome {
    let name = lab.new_name();
    let mut holder = Worker::start(lab, At::A, backend, &name)?;
    let mut other = Worker::start(lab, At::B, backend, &name)?;
    holder.must("try exclusive", "held")?;
    let cut = lab.cut(At::A)?;
    other.must("try exclusive", "busy")?;
    drop(cut);
    holder.must("verify", "intact")?;
    other.must("try exclusive", "busy")?;
    holder.must("unlock", "unlocked")?;
    other.must("lock exclusive", "held")
}

/// On NFS 4 the other client gets the lock after the lease, and the first one can find out the loss. NFS 3
/// has no leases, so a holder that does not answer keeps the lock.
fn loses(lab: &Lab, backend: Backend) -> Outcome {
    let name = lab.new_name();
    let mut holder = Worker::start(lab, At::A, backend, &name)?;
    let mut thief = Worker::start(lab, At::B, backend, &name)?;
    holder.must("try exclusive", "held")?;
    holder.must("verify", "intact")?;
    holder.send("watch 500")?;
    let cut = lab.cut(At::A)?;
    if lab.is_v3() {
        // A lease would be over by then.
        thread::sleep(lab.lease() * 2);
        thief.must("try exclusive", "busy")?;
        drop(cut);
        holder.must("verify", "intact")?;
        thief.must("try exclusive", "busy")?;
        holder.must("unlock", "unlocked")?;
        return thief.must("lock exclusive", "held");
    }
    thief.must("lock exclusive", "held")?;
    drop(cut);
    holder.must_reply("lost")?; // the watch reports it by itself
    holder.must("verify", "lost")?;
    // The lock stays lost after the other client has released it.
    thief.must("unlock", "unlocked")?;
    holder.must("verify", "lost")?;
    // The first client can lock again.
    holder.ask("unlock")?;
    holder.must("lock exclusive", "held")?;
    holder.must("verify", "intact")?;
    thief.must("try exclusive", "busy")
}
