//! Tests of the model, without processes and without a backend.

use std::io;

use touchfile_core::LockMode::{Exclusive, Shared};

use super::*;
use crate::Law;
use crate::process::Answer;

const A: HandleId = handle(0, 0);
const B: HandleId = handle(1, 0);
const C: HandleId = handle(2, 1);
/// A handle on the other file.
const OTHER: HandleId = handle(1, 2);

const fn handle(process: u8, handle: u8) -> HandleId {
    HandleId { process, handle }
}

fn model() -> Model {
    let mut claims = Capabilities::NONE;
    claims.shared = true;
    claims.cross_process = true;
    claims.identity = true;
    let mut model = Model::new(claims);
    [A, B, C, OTHER].into_iter().for_each(|id| model.opened(id));
    model
}

fn held(by: HandleId, mode: LockMode) -> Model {
    let mut model = model();
    model.tried(by, mode, &Answer::Acquired).unwrap();
    model
}

fn waiting(model: &mut Model, id: HandleId, mode: LockMode) {
    model.started(id, mode, &Answer::Pending).unwrap();
}

fn failure(kind: io::ErrorKind) -> Answer {
    Answer::failed(&kind.into())
}

fn broken(judged: Result<(), WrongAnswer>) -> Law {
    match judged {
        Err(WrongAnswer::Breach(blame)) => blame.law,
        other => panic!("no breach: {other:?}"),
    }
}

#[test]
fn a_holder_keeps_out_whom_it_conflicts_with_and_nobody_else() {
    for mode in [Exclusive, Shared] {
        for wanted in [Exclusive, Shared] {
            let model = held(A, mode);
            let expected = if mode.conflicts_with(wanted) {
                Expected::Busy
            } else {
                Expected::Acquired
            };
            assert_eq!(model.expect(B, wanted), expected);
            assert_eq!(model.expect(OTHER, wanted), Expected::Acquired);
        }
    }
}

#[test]
fn letting_two_in_breaks_exclusion() {
    let mut model = held(A, Shared);
    assert_eq!(
        broken(model.tried(B, Exclusive, &Answer::Acquired)),
        Law::Exclusion
    );
    let mut model = held(A, Exclusive);
    assert_eq!(
        broken(model.started(B, Shared, &Answer::Acquired)),
        Law::Exclusion
    );
    waiting(&mut model, B, Shared);
    assert_eq!(broken(model.polled(B, &Answer::Acquired)), Law::Exclusion);
}

#[test]
fn a_lock_lost_by_a_child_that_dropped_its_copy_breaks_the_law_of_forks() {
    let mut model = held(A, Exclusive);
    model.child_dropped(A);
    assert_eq!(
        broken(model.tried(B, Exclusive, &Answer::Acquired)),
        Law::ForkAndExec
    );
    // Since then the handle has taken another lock, of which the child has no copy.
    let mut model = held(A, Exclusive);
    model.child_dropped(A);
    model.unlocked(A);
    model.tried(A, Exclusive, &Answer::Acquired).unwrap();
    assert_eq!(
        broken(model.tried(B, Exclusive, &Answer::Acquired)),
        Law::Exclusion
    );
}

#[test]
fn a_waiter_may_hold_the_lock_without_anybody_knowing() {
    let mut model = held(A, Exclusive);
    waiting(&mut model, B, Exclusive);
    assert_eq!(model.expect(C, Shared), Expected::Busy);
    model.unlocked(A);
    assert_eq!(model.expect(C, Shared), Expected::Either);
    model.cancelled(B);
    assert_eq!(model.expect(C, Shared), Expected::Acquired);
}

#[test]
fn busy_with_nobody_there_is_in_doubt() {
    let mut model = model();
    assert!(matches!(
        model.tried(A, Exclusive, &Answer::WouldBlock),
        Err(WrongAnswer::FalseBusy(_))
    ));
}

#[test]
fn a_waiter_must_be_granted_a_free_lock_unless_others_may_come_first() {
    let mut model = held(A, Exclusive);
    waiting(&mut model, B, Exclusive);
    assert_eq!(model.must_be_granted(B), []);
    model.unlocked(A);
    assert_eq!(model.must_be_granted(B), [B]);
    waiting(&mut model, C, Shared);
    assert_eq!(model.must_be_granted(B), [B, C]);
    model.stop(2);
    assert_eq!(model.must_be_granted(B), []);
    assert_eq!(model.must_be_granted(C), []);
}

#[test]
fn a_reader_behind_a_writer_that_waits_need_not_be_let_in() {
    let mut model = held(A, Shared);
    waiting(&mut model, B, Shared);
    assert_eq!(model.must_be_granted(B), [B]);
    waiting(&mut model, C, Exclusive);
    assert_eq!(model.must_be_granted(B), []);
}

#[test]
fn a_wait_may_end_as_stale_once_its_path_names_another_file_and_not_before() {
    let stale = failure(io::ErrorKind::StaleNetworkFileHandle);
    let mut model = held(A, Exclusive);
    waiting(&mut model, B, Shared);
    assert_eq!(broken(model.polled(B, &stale)), Law::Errors);
    model.replace(0);
    assert_eq!(model.polled(B, &stale), Ok(()));
    assert_eq!(model.state(B), Some(State::Idle));
    assert_eq!(broken(model.tried(B, Shared, &stale)), Law::Errors);
}

#[test]
fn a_handle_that_holds_must_refuse_to_be_asked_again() {
    let mut model = held(A, Shared);
    assert_eq!(
        model.tried(A, Exclusive, &failure(io::ErrorKind::InvalidInput)),
        Ok(())
    );
    assert_eq!(
        broken(model.tried(A, Exclusive, &Answer::WouldBlock)),
        Law::Exclusion
    );
    assert_eq!(
        broken(model.started(A, Shared, &Answer::Pending)),
        Law::Exclusion
    );
    assert_eq!(
        broken(model.tried(A, Shared, &failure(io::ErrorKind::Other))),
        Law::Errors
    );
}

#[test]
fn shared_locks_that_are_not_claimed_must_be_refused_as_unsupported() {
    let mut model = Model::new(Capabilities::NONE);
    model.opened(A);
    let unsupported = failure(io::ErrorKind::Unsupported);
    assert_eq!(model.tried(A, Shared, &unsupported), Ok(()));
    assert_eq!(
        broken(model.tried(A, Shared, &Answer::Acquired)),
        Law::Capabilities
    );
    assert_eq!(
        broken(model.tried(A, Shared, &failure(io::ErrorKind::Other))),
        Law::Errors
    );
    assert_eq!(
        broken(model.tried(A, Exclusive, &unsupported)),
        Law::Capabilities
    );
}

#[test]
fn a_lock_that_stays_busy_is_blamed_on_what_happened_to_it() {
    let blamed = |what: fn(&mut Model)| {
        let mut model = held(A, Exclusive);
        what(&mut model);
        let inode = model.inode_of(A).or(model.inode_at(0)).unwrap();
        assert_eq!(
            model.blame_busy(inode, Busy::ForAMoment).law,
            Law::NoFalseBusy
        );
        assert_eq!(
            model.blame_busy(inode, Busy::ForAWhile).law,
            model.blame_busy(inode, Busy::Stays).law
        );
        model.blame_busy(inode, Busy::Stays).law
    };
    assert_eq!(blamed(|_| {}), Law::NoFalseBusy);
    assert_eq!(blamed(|model| model.unlocked(A)), Law::Release);
    assert_eq!(blamed(|model| model.dropped(A)), Law::Release);
    assert_eq!(blamed(|model| model.killed(0)), Law::Release);
    let given_up = |model: &mut Model| {
        waiting(model, B, Exclusive);
        model.cancelled(B);
        model.unlocked(A);
    };
    assert_eq!(blamed(given_up), Law::AcquiredMeansAcquired);
    let with_a_child = |model: &mut Model| {
        model.child_lives(0);
        model.unlocked(A);
    };
    assert_eq!(blamed(with_a_child), Law::ForkAndExec);
}

#[test]
fn a_handle_is_current_while_its_path_names_its_file() {
    let mut model = model();
    assert_eq!(model.asked_current(A, &Answer::Yes), Ok(()));
    assert_eq!(broken(model.asked_current(A, &Answer::No)), Law::Identity);
    model.replace(0);
    assert_eq!(model.asked_current(A, &Answer::No), Ok(()));
    assert_eq!(broken(model.asked_current(A, &Answer::Yes)), Law::Identity);
    model.hard_link(1);
    assert_eq!(model.asked_current(OTHER, &Answer::Yes), Ok(()));
    assert_eq!(broken(model.asked_current(A, &Answer::Yes)), Law::Identity);
}

#[test]
fn two_names_of_a_file_are_one_lock() {
    let mut model = held(A, Exclusive);
    model.hard_link(0);
    assert_eq!(model.expect(OTHER, Exclusive), Expected::Acquired); // opened before
    model.dropped(OTHER);
    model.opened(OTHER);
    assert_eq!(model.expect(OTHER, Exclusive), Expected::Busy);
}

#[test]
fn an_idle_handle_with_a_lock_breaks_the_law_of_how_its_latest_call_ended() {
    let law = |model: &Model| model.blame_keeper(A).map(|blame| blame.law);
    let mut unlocked = held(A, Exclusive);
    unlocked.unlocked(A);
    assert_eq!(law(&unlocked), Some(Law::Release));
    // Unlocking an idle handle once more changes nothing.
    unlocked.unlocked(A);
    assert_eq!(law(&unlocked), Some(Law::Release));
    let mut busy = held(B, Exclusive);
    busy.tried(A, Exclusive, &Answer::WouldBlock).unwrap();
    assert_eq!(law(&busy), Some(Law::AcquiredMeansAcquired));
    let mut given_up = held(B, Exclusive);
    waiting(&mut given_up, A, Exclusive);
    given_up.cancelled(A);
    assert_eq!(law(&given_up), Some(Law::AcquiredMeansAcquired));
    assert_eq!(law(&model()), None);
}
