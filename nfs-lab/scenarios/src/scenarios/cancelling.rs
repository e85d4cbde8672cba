//! Waits that are given up while the server does not answer.

use std::time::Instant;

use super::{Play, for_both};
use crate::lab::{At, DEADLINE, Lab};
use crate::outcome::{Outcome, must};
use crate::runner::Scenario;
use crate::worker::{Backend, Worker};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let topics: [(&str, Play); 3] = [
        (
            "a_wait_is_given_up_while_the_server_does_not_answer",
            gives_up,
        ),
        (
            "a_deadline_fires_while_the_server_does_not_answer",
            times_out,
        ),
        (
            "a_lock_is_asked_for_while_the_server_does_not_answer",
            begins,
        ),
    ];
    for (sentence, play) in topics {
        scenarios.extend(for_both("cancelling", sentence, play));
    }
    scenarios
}

/// While the call hangs in the kernel, its process continues. When the server answers again, a lock that
/// the call may have got is released.
fn gives_up(lab: &Lab, backend: Backend) -> Outcome {
    let name = lab.new_name();
    let mut holder = Worker::start(lab, At::B, backend, &name)?;
    let mut waiter = Worker::start(lab, At::A, backend, &name)?;
    let mut other = Worker::start(lab, At::B, backend, &name)?;
    holder.must("try exclusive", "held")?;
    waiter.begin_to_wait()?;
    let cut = lab.cut(At::A)?;
    // In this time its next attempt has begun.
    waiter.must_wait_on("the server does not answer")?;
    must_be_given_up(&mut waiter)?;
    drop(cut);
    holder.must("unlock", "unlocked")?;
    // Both can take the lock, so no wait that was given up holds it.
    must_become_free(&mut other)?;
    waiter.must("lock exclusive", "held")
}

/// The call that hangs does not delay the deadline.
fn times_out(lab: &Lab, backend: Backend) -> Outcome {
    let name = lab.new_name();
    let mut waiter = Worker::start(lab, At::A, backend, &name)?;
    let mut other = Worker::start(lab, At::B, backend, &name)?;
    other.must("try exclusive", "held")?;
    waiter.must("try exclusive", "busy")?;
    let cut = lab.cut(At::A)?;
    let begun = Instant::now();
    waiter.send("lock exclusive 2000")?;
    waiter.must("ping", "pong")?;
    waiter.must_reply("timeout")?;
    let late = begun.elapsed();
    drop(cut);
    other.must("unlock", "unlocked")?;
    must_become_free(&mut other)?;
    must(
        late < DEADLINE / 4,
        format!("the deadline of 2 s fired after {late:?}"),
    )
}

/// The file was never opened before, and the server does not answer.
fn begins(lab: &Lab, backend: Backend) -> Outcome {
    let name = lab.new_name();
    let mut waiter = Worker::start(lab, At::A, backend, &name)?;
    let cut = lab.cut(At::A)?;
    waiter.send("lock exclusive")?;
    waiter.must("ping", "pong")?;
    must_be_given_up(&mut waiter)?;
    drop(cut);
    let mut other = Worker::start(lab, At::B, backend, &name)?;
    must_become_free(&mut other)?;
    waiter.must("lock exclusive", "held")
}

fn must_be_given_up(waiter: &mut Worker) -> Outcome {
    let begun = Instant::now();
    waiter.must("cancel", "cancelled")?;
    let late = begun.elapsed();
    must(
        late < DEADLINE / 4,
        format!("giving up took {late:?} while the server did not answer"),
    )
}

/// Tries for a while, since the lock may be held until a call that was given up has returned.
fn must_become_free(other: &mut Worker) -> Outcome {
    other.must("lock exclusive", "held")?;
    other.must("unlock", "unlocked")
}
