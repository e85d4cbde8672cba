//! Law 7: the file and its path.

use std::io::ErrorKind;
use std::path::Path;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::case;
use super::cast::{Cast, until};
use crate::Law;
use crate::process::{Answer, Order};
use crate::suite::{Case, Need, Undone};

pub(super) fn cases() -> Vec<Case> {
    let case = |sentence, needs, play: fn(&mut Cast<'_>) -> Result<u64, Undone>| {
        case(Law::Identity, sentence, needs, play)
    };
    vec![
        case(
            "a_file_is_never_removed_from_under_a_current_holder",
            &[Need::RemoveOnRelease, Need::Identity, Need::CrossProcess],
            removed_in_time,
        ),
        case(
            "a_handle_is_current_while_its_path_names_its_file",
            &[Need::Identity],
            current,
        ),
        case(
            "a_handle_of_an_unlinked_or_replaced_file_is_not_current",
            &[Need::Identity],
            replaced,
        ),
        case(
            "a_waiter_on_a_replaced_file_is_not_current_once_granted",
            &[Need::Identity],
            waiter_on_replaced,
        ),
        case(
            "a_second_name_of_a_file_is_the_same_lock",
            &[Need::Identity],
            second_name,
        ),
        case(
            "a_file_is_not_removed_while_another_reader_holds_it",
            &[Need::RemoveOnRelease, Need::Shared],
            removed_by_the_last,
        ),
    ]
}

fn current(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let path = cast.path();
    cast.open(0, 0)?;
    is_current(cast, 0, &path, true, "it was just opened")?;
    cast.must_acquire(0, 0, Exclusive, "nobody holds it")?;
    is_current(cast, 0, &path, true, "nothing has happened to it")?;
    let other = cast.stage.path("b.lock");
    is_current(cast, 0, &other, false, "that path names nothing")?;
    cast.hard_link(&path, &other)?;
    is_current(cast, 0, &other, true, "that path names the same file")?;
    Ok(4)
}

fn replaced(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let path = cast.path();
    cast.hold(0, 0)?;
    cast.stage.unlink(&path)?;
    cast.note("the file is unlinked");
    is_current(cast, 0, &path, false, "it was unlinked")?;
    cast.hold(0, 1)?;
    is_current(cast, 0, &path, false, "the path names a new file")?;
    is_current(cast, 1, &path, true, "the path names its file")?;
    cast.stage.replace(&path)?;
    cast.note("a new file is renamed over it");
    is_current(cast, 1, &path, false, "another file was renamed over it")?;
    Ok(4)
}

fn waiter_on_replaced(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (path, other) = (cast.path(), cast.other());
    cast.hold(0, 0)?;
    cast.open(other, 1)?;
    cast.wait(other, 1, Exclusive)?;
    cast.stage.replace(&path)?;
    cast.note("a new file is renamed over it");
    cast.hold(0, 2)?;
    cast.unlock(0, 0)?;
    let soon = cast.bench.patience;
    match cast.ask(other, &Order::Poll(1, soon))? {
        Answer::Acquired => {}
        // A wait may notice by itself.
        answer if answer.is_kind(ErrorKind::StaleNetworkFileHandle) => return Ok(1),
        Answer::Pending => {
            let what = "the holder of the file that it waits for let go, but it waits on";
            return Err(cast.broken(Law::Liveness, what));
        }
        answer => return Err(cast.wrong(&answer)),
    }
    let answer = cast.ask(other, &Order::IsCurrent(1, path))?;
    cast.must(answer == Answer::No, "the path names another file by now")?;
    Ok(1)
}

fn second_name(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (path, link, other) = (cast.path(), cast.stage.path("b.lock"), cast.other());
    cast.hold(0, 0)?;
    cast.open(other, 2)?;
    cast.must_be_busy(other, 2, Exclusive, "another handle holds it")?;
    cast.hard_link(&path, &link)?;
    cast.note("the file gets a second name, b.lock");
    cast.open_with(other, 1, &link, &OpenOptions::new())?;
    cast.must_still_be_busy(other, 1, Exclusive, "it is held by the file's other name")?;
    cast.unlock(0, 0)?;
    cast.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(2)
}

fn removed_by_the_last(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (path, other) = (cast.path(), cast.other());
    let options = removing();
    cast.open_with(0, 0, &path, &options)?;
    cast.open_with(other, 1, &path, &options)?;
    cast.must_acquire(0, 0, Shared, "nobody holds it")?;
    cast.must_share(other, 1)?;
    cast.open(0, 2)?;
    cast.must_be_busy(0, 2, Exclusive, "there are readers")?;
    cast.unlock(0, 0)?;
    cast.must(
        cast.stage.exists(&path),
        "the file was removed while a reader holds it",
    )?;
    Ok(1)
}

/// A holder whose handle is current relies on it: nobody else may remove the file.
fn removed_in_time(cast: &mut Cast<'_>) -> Result<u64, Undone> {
    let (path, rounds) = (cast.path(), cast.bench.times(30));
    let mut tried = 0;
    for _ in 0..rounds {
        cast.open_with(0, 0, &path, &removing())?;
        cast.open_with(1, 1, &path, &removing())?;
        cast.must_acquire(0, 0, Exclusive, "nobody holds it")?;
        cast.must_be_busy(1, 1, Exclusive, "another process holds it")?;
        let unlock = Order::Unlock(0);
        cast.tell(0, &unlock)?;
        let attempt = Order::TryLock(1, Exclusive);
        let acquired = until(cast.bench.patience, || {
            Ok(cast.ask(1, &attempt)? == Answer::Acquired)
        })?;
        cast.must(acquired, "the lock stays busy after its holder let go")?;
        let current = Order::IsCurrent(1, path.clone());
        let before = cast.ask(1, &current)?;
        if cast.hear(0, &unlock)? != Answer::Done {
            return Err(cast.broken(Law::Release, "unlocking failed"));
        }
        if before == Answer::Yes {
            let after = cast.ask(1, &current)?;
            cast.must(
                after == Answer::Yes,
                "the file was removed by one who had let go before, from under the next holder",
            )?;
            tried += 1;
        }
        cast.drop_handle(0, 0)?;
        cast.drop_handle(1, 1)?;
    }
    Ok(tried.max(1))
}

fn is_current(
    cast: &mut Cast<'_>,
    slot: u32,
    path: &Path,
    expected: bool,
    why: &str,
) -> Result<(), Undone> {
    let answer = cast.ask(0, &Order::IsCurrent(slot, path.to_owned()))?;
    match (answer, expected) {
        (Answer::Yes, true) | (Answer::No, false) => Ok(()),
        (Answer::Yes | Answer::No, _) => {
            let word = if expected { "is" } else { "is not" };
            Err(cast.broken(Law::Identity, format!("the handle {word} current: {why}")))
        }
        (answer, _) => Err(cast.wrong(&answer)),
    }
}

fn removing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    options
}
