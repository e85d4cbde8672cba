//! Exclusion between hosts, and waiting.

use super::for_both;
use crate::lab::{At, Lab};
use crate::outcome::Outcome;
use crate::runner::Scenario;
use crate::worker::{Backend, Worker};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<_> = for_both(
        "exclusion",
        "the_two_clients_exclude_each_other",
        |lab, backend| {
            exclude(lab, backend, At::A, At::B)?;
            exclude(lab, backend, At::B, At::A)
        },
    )
    .collect();
    scenarios.push(Scenario::new(
        "exclusion::fcntl::a_client_and_the_server_exclude_each_other",
        |lab| {
            exclude(lab, Backend::Fcntl, At::A, At::Server)?;
            exclude(lab, Backend::Fcntl, At::Server, At::A)
        },
    ));
    scenarios.push(Scenario::new(
        "exclusion::flock::a_client_and_the_server_do_not_exclude_each_other_as_documented",
        both_hold,
    ));
    scenarios.extend(for_both(
        "exclusion",
        "a_client_is_handed_the_lock_by_the_other_however_it_lets_go",
        |lab, backend| hand_over(lab, backend, At::A, At::B),
    ));
    scenarios.push(Scenario::new(
        "exclusion::fcntl::a_client_and_the_server_hand_each_other_the_lock",
        |lab| {
            hand_over(lab, Backend::Fcntl, At::A, At::Server)?;
            hand_over(lab, Backend::Fcntl, At::Server, At::A)
        },
    ));
    scenarios
}

/// One process holds, and the other tries, in all modes.
fn exclude(lab: &Lab, backend: Backend, holder: At, other: At) -> Outcome {
    let name = lab.new_name();
    let mut holder = Worker::start(lab, holder, backend, &name)?;
    let mut other = Worker::start(lab, other, backend, &name)?;
    for (ours, theirs, answer) in [
        ("exclusive", "exclusive", "busy"),
        ("exclusive", "shared", "busy"),
        ("shared", "exclusive", "busy"),
        ("shared", "shared", "held"),
    ] {
        holder.must(&format!("try {ours}"), "held")?;
        other.must(&format!("try {theirs}"), answer)?;
        if answer == "held" {
            other.must("unlock", "unlocked")?;
        }
        holder.must("unlock", "unlocked")?;
        other.must("try exclusive", "held")?;
        other.must("unlock", "unlocked")?;
    }
    Ok(())
}

/// The server has a byte-range lock for the client, which flock(2) on the server ignores. If this fails
/// some day, the documentation can promise more.
fn both_hold(lab: &Lab) -> Outcome {
    let name = lab.new_name();
    let mut client = Worker::start(lab, At::A, Backend::Flock, &name)?;
    let mut server = Worker::start(lab, At::Server, Backend::Flock, &name)?;
    client.must("try exclusive", "held")?;
    server.must("try exclusive", "held")
}

/// The holder unlocks, ends, and is killed, while the other waits.
fn hand_over(lab: &Lab, backend: Backend, holder: At, other: At) -> Outcome {
    let ends: [fn(Worker) -> Outcome; 3] = [
        |mut holder| holder.must("unlock", "unlocked"),
        Worker::finish,
        Worker::kill,
    ];
    for let_go in ends {
        let name = lab.new_name();
        let mut holder = Worker::start(lab, holder, backend, &name)?;
        let mut waiter = Worker::start(lab, other, backend, &name)?;
        holder.must("try exclusive", "held")?;
        waiter.begin_to_wait()?;
        let_go(holder)?;
        waiter.must_reply("held")?;
    }
    Ok(())
}
