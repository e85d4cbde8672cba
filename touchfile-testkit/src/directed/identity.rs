//! Law 7: whether the path still names the locked file.

use std::io::ErrorKind;
use std::path::Path;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::OpenOptions;

use super::driver::{Driver, until};
use crate::Law;
use crate::case::{Case, Undone};
use crate::process::{Answer, Command};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Identity::a_file_is_never_removed_from_under_a_current_holder [RemoveOnRelease, Identity, CrossProcess],
        Identity::a_handle_is_current_while_its_path_names_its_file [Identity],
        Identity::a_handle_of_an_unlinked_or_replaced_file_is_not_current [Identity],
        Identity::a_waiter_on_a_replaced_file_is_not_current_once_granted [Identity],
        Identity::a_second_name_of_a_file_is_the_same_lock [Identity],
        Identity::a_file_is_not_removed_while_another_reader_holds_it [RemoveOnRelease, Shared],
    }
}

fn a_handle_is_current_while_its_path_names_its_file(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let path = driver.path();
    driver.open(0, 0)?;
    is_current(driver, 0, &path, true, "it was just opened")?;
    driver.must_acquire(0, 0, Exclusive, "nobody holds it")?;
    is_current(driver, 0, &path, true, "nothing has happened to it")?;
    let other = driver.fixture.path("b.lock");
    is_current(driver, 0, &other, false, "that path names nothing")?;
    driver.hard_link(&path, &other)?;
    is_current(driver, 0, &other, true, "that path names the same file")?;
    Ok(4)
}

fn a_handle_of_an_unlinked_or_replaced_file_is_not_current(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let path = driver.path();
    driver.hold(0, 0)?;
    driver.fixture.unlink(&path)?;
    driver.note("the file is unlinked");
    is_current(driver, 0, &path, false, "it was unlinked")?;
    driver.hold(0, 1)?;
    is_current(driver, 0, &path, false, "the path names a new file")?;
    is_current(driver, 1, &path, true, "the path names its file")?;
    driver.fixture.replace(&path)?;
    driver.note("a new file is renamed over it");
    is_current(driver, 1, &path, false, "another file was renamed over it")?;
    Ok(4)
}

fn a_waiter_on_a_replaced_file_is_not_current_once_granted(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let (path, other) = (driver.path(), driver.other());
    driver.hold(0, 0)?;
    driver.open(other, 1)?;
    driver.wait(other, 1, Exclusive)?;
    driver.fixture.replace(&path)?;
    driver.note("a new file is renamed over it");
    driver.hold(0, 2)?;
    driver.unlock(0, 0)?;
    let soon = driver.context.patience;
    match driver.ask(other, &Command::Poll(1, soon))? {
        Answer::Acquired => {}
        // A wait may find out by itself that its file was replaced.
        answer if answer.is_kind(ErrorKind::StaleNetworkFileHandle) => return Ok(1),
        Answer::Pending => {
            let what = "the holder of the file that it waits for let go, but it waits on";
            return Err(driver.broken(Law::Liveness, what));
        }
        answer => return Err(driver.wrong(&answer)),
    }
    let answer = driver.ask(other, &Command::IsCurrent(1, path))?;
    driver.must(answer == Answer::No, "the path names another file by now")?;
    Ok(1)
}

fn a_second_name_of_a_file_is_the_same_lock(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let (path, link, other) = (driver.path(), driver.fixture.path("b.lock"), driver.other());
    driver.hold(0, 0)?;
    driver.open(other, 2)?;
    driver.must_be_busy(other, 2, Exclusive, "another handle holds it")?;
    driver.hard_link(&path, &link)?;
    driver.note("the file gets a second name, b.lock");
    driver.open_with(other, 1, &link, &OpenOptions::new())?;
    driver.must_still_be_busy(other, 1, Exclusive, "it is held by the file's other name")?;
    driver.unlock(0, 0)?;
    driver.must_acquire(other, 1, Exclusive, "it was unlocked")?;
    Ok(2)
}

fn a_file_is_not_removed_while_another_reader_holds_it(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let (path, other) = (driver.path(), driver.other());
    let options = removing();
    driver.open_with(0, 0, &path, &options)?;
    driver.open_with(other, 1, &path, &options)?;
    driver.must_acquire(0, 0, Shared, "nobody holds it")?;
    driver.must_share(other, 1)?;
    driver.open(0, 2)?;
    driver.must_be_busy(0, 2, Exclusive, "there are readers")?;
    driver.unlock(0, 0)?;
    driver.must(
        driver.fixture.exists(&path),
        "the file was removed while a reader holds it",
    )?;
    Ok(1)
}

/// No other handle may remove the file while a holder relies on its current handle.
fn a_file_is_never_removed_from_under_a_current_holder(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    let (path, rounds) = (driver.path(), driver.context.times(30));
    let mut tried = 0;
    for _ in 0..rounds {
        driver.open_with(0, 0, &path, &removing())?;
        driver.open_with(1, 1, &path, &removing())?;
        driver.must_acquire(0, 0, Exclusive, "nobody holds it")?;
        driver.must_be_busy(1, 1, Exclusive, "another process holds it")?;
        let unlock = Command::Unlock(0);
        driver.send(0, &unlock)?;
        let attempt = Command::TryLock(1, Exclusive);
        let acquired = until(driver.context.patience, || {
            Ok(driver.ask(1, &attempt)? == Answer::Acquired)
        })?;
        driver.must(acquired, "the lock stays busy after its holder let go")?;
        let current = Command::IsCurrent(1, path.clone());
        let before = driver.ask(1, &current)?;
        if driver.receive(0, &unlock)? != Answer::Done {
            return Err(driver.broken(Law::Release, "unlocking failed"));
        }
        if before == Answer::Yes {
            let after = driver.ask(1, &current)?;
            driver.must(
                after == Answer::Yes,
                "the file was removed by one who had let go before, from under the next holder",
            )?;
            tried += 1;
        }
        driver.drop_handle(0, 0)?;
        driver.drop_handle(1, 1)?;
    }
    Ok(tried.max(1))
}

fn is_current(
    driver: &mut Driver<'_>,
    slot: u32,
    path: &Path,
    expected: bool,
    why: &str,
) -> Result<(), Undone> {
    let answer = driver.ask(0, &Command::IsCurrent(slot, path.to_owned()))?;
    match (answer, expected) {
        (Answer::Yes, true) | (Answer::No, false) => Ok(()),
        (Answer::Yes | Answer::No, _) => {
            let word = if expected { "is" } else { "is not" };
            Err(driver.broken(Law::Identity, format!("the handle {word} current: {why}")))
        }
        (answer, _) => Err(driver.wrong(&answer)),
    }
}

fn removing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    options
}
