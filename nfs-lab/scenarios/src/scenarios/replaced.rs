//! A lock file that another host removes or replaces. A client of NFS learns that up to half a minute
//! later, unless it asks.

use std::fs;

use super::{Play, for_both};
use crate::lab::{At, Lab};
use crate::outcome::{Outcome, must};
use crate::runner::Scenario;
use crate::worker::{Backend, Settings, Worker};

const REMOVE: Settings = Settings {
    remove_on_release: true,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let topics: [(&str, Play); 4] = [
        (
            "a_waiter_on_client_a_does_not_get_the_file_that_client_b_deleted",
            |lab, backend| {
                waits_for_the_new_file(lab, backend, |lab, name| {
                    Ok(fs::remove_file(lab.dir(At::B).join(name))?)
                })
            },
        ),
        (
            "a_waiter_on_client_a_does_not_get_the_file_that_client_b_replaced",
            |lab, backend| {
                waits_for_the_new_file(lab, backend, |lab, name| {
                    let new = lab.dir(At::B).join(format!("{name}.new"));
                    fs::write(&new, "")?;
                    Ok(fs::rename(new, lab.dir(At::B).join(name))?)
                })
            },
        ),
        (
            "a_waiter_on_client_a_does_not_get_the_file_that_its_holder_removed_on_release",
            removed_by_its_holder,
        ),
        (
            "files_that_are_removed_on_release_exclude_between_the_clients",
            count_together,
        ),
    ];
    for (sentence, play) in topics {
        scenarios.extend(for_both("replaced", sentence, play));
    }
    scenarios
}

/// While B holds and A waits, the file is removed, and a third process creates and locks the new one before
/// A can. When the first holder releases, A must wait for the new file.
fn waits_for_the_new_file(
    lab: &Lab,
    backend: Backend,
    put_away: fn(&Lab, &str) -> Outcome,
) -> Outcome {
    let name = lab.new_name();
    let mut holder = Worker::start(lab, At::B, backend, &name)?;
    let mut waiter = Worker::start(lab, At::A, backend, &name)?;
    let mut third = Worker::start(lab, At::B, backend, &name)?;
    holder.must("try exclusive", "held")?;
    waiter.begin_to_wait()?;
    waiter.stop()?;
    put_away(lab, &name)?;
    third.must("lock exclusive", "held")?;
    holder.must("unlock", "unlocked")?;
    waiter.resume()?;
    waiter.must_wait_on("another process holds the file that the path names")?;
    third.must("unlock", "unlocked")?;
    waiter.must_reply("held")?;
    third.must("try exclusive", "busy")
}

/// The holder has the file open when it removes it, so its client renames the file instead. A waiter then
/// gets a lock on a file that still has a name.
fn removed_by_its_holder(lab: &Lab, backend: Backend) -> Outcome {
    for _ in 0..5 {
        let name = lab.new_name();
        let mut holder = Worker::start_with(lab, At::B, backend, &name, REMOVE)?;
        let mut waiter = Worker::start_with(lab, At::A, backend, &name, REMOVE)?;
        let mut other = Worker::start_with(lab, At::B, backend, &name, REMOVE)?;
        holder.must("try exclusive", "held")?;
        waiter.begin_to_wait()?;
        holder.must("unlock", "unlocked")?;
        waiter.must_reply("held")?;
        other.must("try exclusive", "busy")?;
        waiter.must("unlock", "unlocked")?;
        other.must("try exclusive", "held")?;
    }
    Ok(())
}

/// Increments a number, each time under a lock whose file exists only while it is used.
fn count_together(lab: &Lab, backend: Backend) -> Outcome {
    const TURNS: u64 = 25;
    let (name, number) = (lab.new_name(), lab.new_name());
    fs::write(lab.dir(At::Server).join(&number), "")?;
    let mut workers = Vec::new();
    for at in [At::A, At::B, At::A, At::B] {
        let mut worker = Worker::start_with(lab, at, backend, &name, REMOVE)?;
        let path = lab.dir(at).join(&number);
        worker.send(&format!("count {TURNS} {}", path.display()))?;
        workers.push(worker);
    }
    for worker in &mut workers {
        worker.must_reply("counted")?;
    }
    let counted = fs::metadata(lab.dir(At::Server).join(&number))?.len();
    let all = TURNS * workers.len() as u64;
    must(
        counted == all,
        format!(
            "of {all} increments under the lock {} are lost",
            all - counted
        ),
    )
}
