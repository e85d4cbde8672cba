//! A restart of the server while locks are held and waited for.

use super::for_both;
use crate::lab::{At, Lab};
use crate::outcome::{Outcome, Undone};
use crate::runner::Scenario;
use crate::worker::{Backend, Worker};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<_> = for_both(
        "restart",
        "a_held_lock_outlives_the_server_and_is_handed_to_who_waited_before",
        held_and_waited_for,
    )
    .collect();
    scenarios.extend(for_both(
        "restart",
        "a_holder_whom_the_server_has_forgotten_learns_that_its_lock_is_lost",
        forgotten,
    ));
    scenarios
}

fn held_and_waited_for(lab: &Lab, backend: Backend) -> Outcome {
    let name = lab.new_name();
    let mut holder = Worker::start(lab, At::A, backend, &name)?;
    let mut waiter = Worker::start(lab, At::B, backend, &name)?;
    let mut other = Worker::start(lab, At::B, backend, &name)?;
    holder.must("try exclusive", "held")?;
    waiter.begin_to_wait()?;
    lab.restart_server()?;
    // The server answers after its grace period, when the lock has been reclaimed.
    other.must("try exclusive", "busy")?;
    holder.must("verify", "intact")?;
    waiter.must_wait_on("the lock is held, restart or not")?;
    holder.must("unlock", "unlocked")?;
    waiter.must_reply("held")?;
    holder.must("try exclusive", "busy")
}

/// The server forgets the client, as by a command of its administrator or after a loss of its state.
fn forgotten(lab: &Lab, backend: Backend) -> Outcome {
    if lab.is_v3() {
        let why = "a server of NFS 3 has nothing that it could forget about a client";
        return Err(Undone::Skipped(why.into()));
    }
    let name = lab.new_name();
    let mut holder = Worker::start(lab, At::A, backend, &name)?;
    let mut thief = Worker::start(lab, At::B, backend, &name)?;
    holder.must("try exclusive", "held")?;
    holder.send("watch 500")?;
    lab.forget(At::A)?;
    thief.must("lock exclusive", "held")?;
    holder.must_reply("lost")
}
