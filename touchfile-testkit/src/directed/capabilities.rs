//! What is claimed holds, and what is not claimed is refused.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::case;
use super::cast::Cast;
use crate::Law;
use crate::process::{Answer, Order};
use crate::suite::{Case, Need, Undone};

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Cast<'_>) -> Result<u64, Undone>| {
        case(Law::Capabilities, sentence, needs, play)
    };
    vec![
        case("shared_locks_are_there_or_refused", &[], shared),
        case("removal_on_release_happens_or_is_refused", &[], removal),
        case(
            "the_question_of_identity_is_answered_or_refused",
            &[],
            identity,
        ),
        case(
            "a_file_without_write_permission_can_be_locked_or_is_refused",
            &[],
            read_only,
        ),
        case(
            "a_new_file_has_the_mode_that_was_asked_for",
            &[Need::RealFiles, Need::RealProcesses],
            mode,
        ),
        case("claims_do_not_change", &[], constant),
    ]
}

fn shared(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let other = cast.other();
    cast.open(0, 0)?;
    cast.open(other, 1)?;
    if cast.bench.claims.shared {
        cast.must_acquire(0, 0, Shared, "nobody holds it")?;
        cast.must_share(other, 1)?;
        return Ok(2);
    }
    for order in [Order::TryLock(0, Shared), Order::Start(0, Shared)] {
        let answer = cast.ask(0, &order)?;
        cast.must(
            answer.is_kind(ErrorKind::Unsupported),
            "shared locks are not claimed: they must be refused with Unsupported",
        )?;
        match cast.try_lock(other, 1, Exclusive)? {
            Answer::Acquired => cast.unlock(other, 1)?,
            Answer::WouldBlock => {
                return Err(cast.broken(
                    Law::AcquiredMeansAcquired,
                    "the refused call has taken the lock",
                ));
            }
            answer => return Err(cast.wrong(&answer)),
        }
    }
    Ok(2)
}

fn removal(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let path = cast.path();
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    let open = Order::Open(0, path.clone(), options);
    if !cast.bench.claims.remove_on_release {
        let answer = cast.ask(0, &open)?;
        cast.must(
            answer.is_kind(ErrorKind::Unsupported),
            "`remove_on_release` is not claimed: it must be refused with Unsupported",
        )?;
        return Ok(1);
    }
    for release in [Order::Unlock(0), Order::Drop(0)] {
        cast.must_be_done(0, &open)?;
        cast.must_acquire(0, 0, Exclusive, "nobody holds it")?;
        cast.must(
            cast.stage.exists(&path),
            "the file is not there while it is held",
        )?;
        cast.must_be_done(0, &release)?;
        cast.must(
            !cast.stage.exists(&path),
            "`remove_on_release` is claimed, but the file is there after its last holder let go",
        )?;
    }
    Ok(2)
}

fn identity(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let path = cast.path();
    cast.open(0, 0)?;
    let answer = cast.ask(0, &Order::IsCurrent(0, path))?;
    let right = answer == Answer::Yes
        || (!cast.bench.claims.identity && answer.is_kind(ErrorKind::Unsupported));
    cast.must(right, "the handle is current: it must say so, or refuse with Unsupported if `identity` is not claimed")?;
    Ok(1)
}

fn read_only(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let path = cast.path();
    if !cast.stage.make_read_only(&path)? {
        return Err(Undone::Skipped("this user may write to every file".into()));
    }
    let opened = cast.ask(0, &Order::Open(0, path, OpenOptions::new()))?;
    if cast.bench.claims.exclusive_read_only {
        cast.must(
            opened == Answer::Done,
            "`exclusive_read_only` is claimed, but the file cannot be opened",
        )?;
        cast.must_acquire(0, 0, Exclusive, "`exclusive_read_only` is claimed")?;
        return Ok(1);
    }
    let refused = match opened {
        Answer::Done => cast.try_lock(0, 0, Exclusive)?,
        refused => refused,
    };
    // A backend that does not lock the file itself need not mind.
    let right = refused == Answer::Acquired
        || refused.is_kind(ErrorKind::Unsupported)
        || refused.is_kind(ErrorKind::PermissionDenied);
    cast.must(right, "the file cannot be written to and `exclusive_read_only` is not claimed: that must be refused with Unsupported")?;
    Ok(1)
}

fn mode(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let path = cast.path();
    let mut options = OpenOptions::new();
    options.create_mode = Some(0o640);
    let answer = cast.ask(0, &Order::Open(0, path.clone(), options))?;
    if answer.is_kind(ErrorKind::Unsupported) {
        return Ok(1);
    }
    cast.must(
        answer == Answer::Done,
        "a mode must be honoured, or refused with Unsupported",
    )?;
    // A backend may make its file when it locks.
    if let Ok(metadata) = fs::metadata(&path) {
        let bits = metadata.permissions().mode() & 0o777;
        cast.must(
            bits == 0o640,
            format!("the file's mode is {bits:o}, but 640 was asked for"),
        )?;
    }
    Ok(1)
}

fn constant(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let said = cast.play(0, "claim-again-and-again", &[])?;
    cast.must(
        said == "the same",
        "capabilities are constant for the life of a backend",
    )?;
    let claims = cast.bench.claims;
    let there = cast.play(0, "claims", &[])?;
    cast.must(
        there == format!("{claims:?}"),
        format!("a worker claims {there}, the suite's own process {claims:?}"),
    )?;
    Ok(2)
}
