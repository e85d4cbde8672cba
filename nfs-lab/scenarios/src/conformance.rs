//! The conformance suite, with its processes on the clients and the server.

use std::time::Duration;

use touchfile_fcntl::FcntlBackend;
use touchfile_flock::FlockBackend;
use touchfile_testkit::{CaseReport, Observer, Place, Suite, Verdict};

use crate::lab::{At, DEADLINE, Lab};
use crate::outcome::{Outcome, Undone};
use crate::runner::Scenario;

/// The number of random schedules. It is small, because every call is a message to the server.
const CASES: u32 = 16;

/// If this is a worker of a suite, executes its commands and exits.
pub(crate) fn work() {
    flock().work();
    fcntl().work();
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("conformance::flock_on_two_clients", |lab| {
            // The server locks byte ranges for its clients, which its own flock(2) ignores.
            check(lab, flock(), &[At::A, At::B])
        }),
        Scenario::new("conformance::fcntl_on_two_clients_and_the_server", |lab| {
            check(lab, fcntl(), &[At::A, At::B, At::Server])
        }),
    ]
}

fn flock() -> Suite {
    Suite::new("flock", |_| FlockBackend::new())
}

fn fcntl() -> Suite {
    Suite::new("fcntl", |_| FcntlBackend::new())
}

fn check(lab: &Lab, suite: Suite, places: &[At]) -> Outcome {
    let mut suite = suite
        .cases(CASES)
        .patience(DEADLINE / 4)
        .death_grace(Duration::from_secs(60))
        // The suite itself and other programs that it runs are on a client, too.
        .dir(lab.dir(At::A));
    // The queue of waiters is in the memory of one host.
    suite = suite
        .skip(
            "liveness::a_writer_among_readers",
            "between hosts there is no order of waiters",
        )
        .skip(
            "liveness::those_who_wait_are_served_in_the_order_in_which_they_came",
            "between hosts there is no order of waiters",
        );
    suite = suite.skip(
        "lockstep::random_schedules_with_files_that_are_replaced",
        "a client of NFS may open the file it remembers by that name; `is_current` says so, and \
         `TouchFile` starts over: see the scenarios of `replaced`",
    );
    for &at in places {
        suite = suite.place(Place::new(lab.dir(at)).launcher(at.launcher()));
    }
    let report = suite.check(&Progress)?;
    println!("\n{report}");
    if report.passed() {
        Ok(())
    } else {
        Err(Undone::Failed("a law is broken".into()))
    }
}

/// Prints each finding at once, since the rest may take long.
struct Progress;

impl Observer for Progress {
    fn finished(&self, case: &CaseReport) {
        if let Verdict::Broken(_) | Verdict::Failed(_) = &case.verdict {
            println!("{}: {:?}", case.name, case.verdict);
        }
    }
}
