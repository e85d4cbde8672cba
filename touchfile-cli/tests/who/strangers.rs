//! Holders that cannot be seen: processes of other users and in other pid namespaces. The tests need
//! root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::{DEADLINE, Place, touchfile};
use crate::trials::{Tried, copy_program, needs, needs_root, skip};
use crate::who::{create, held};

/// A user that most likely has no processes.
const NOBODY: u32 = 65_534;

/// The output of a copy of the program for this user. All users may execute the copy.
fn asked_by(user: u32, place: &Place) -> String {
    let lock = place.lock();
    run_by(user, place, &[lock.to_str().unwrap()])
}

/// The output for a user without processes.
pub(crate) fn asked_by_nobody(place: &Place, words: &[&str]) -> String {
    run_by(NOBODY, place, words)
}

fn run_by(user: u32, place: &Place, words: &[&str]) -> String {
    let copy = place.file("touchfile");
    copy_program(touchfile(), &copy);
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.directory(), everybody.clone()).unwrap();
    fs::set_permissions(&copy, everybody).unwrap();
    let mut command = Command::new(&copy);
    let command = command.arg("who").args(words).uid(user).gid(user);
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn what_may_not_be_seen_is_said_to_be_unknown() -> Tried {
    needs_root()?;
    needs("python3")?;
    let place = Place::new();
    create(&place.lock());
    {
        let holder = held("FLOCK", "exclusive", &place.lock());
        let table = asked_by(NOBODY, &place);
        let took = format!("\n{}?  ", holder.pid());
        assert!(table.contains(&took), "{table}");
    }
    {
        let holder = held("POSIX", "exclusive", &place.lock());
        let table = asked_by(NOBODY, &place);
        assert!(table.contains(&format!("\n{}  ", holder.pid())), "{table}");
    }
    let _holder = held("OFDLCK", "exclusive", &place.lock());
    let table = asked_by(NOBODY, &place);
    assert!(table.contains("\n?  "), "{table}");
    assert!(
        table.contains("(no permission to see which process)"),
        "{table}"
    );
    Ok(())
}

pub(crate) fn a_process_outside_of_our_pid_namespace_has_no_number() -> Tried {
    needs_root()?;
    needs("python3")?;
    needs("unshare")?;
    let inside = |place: &Place| {
        let mut command = assert_cmd::Command::new("unshare");
        let command = command.args(["--pid", "--fork", "--mount-proc"]);
        let command = command.arg(touchfile()).arg("who").arg(place.lock());
        command.timeout(DEADLINE).output().unwrap()
    };
    let place = Place::new();
    create(&place.lock());
    let output = inside(&place);
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare") {
        return skip(format!("no new pid namespace: {said}"));
    }
    assert!(said.contains("outside of this pid namespace"), "{said}");
    let holder = held("OFDLCK", "exclusive", &place.lock());
    let output = inside(&place);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("(in another pid namespace)"), "{table}");
    assert!(!table.contains(&holder.pid().to_string()), "{table}");
    drop(holder);
    // The kernel does not list this lock there.
    let _holder = held("FLOCK", "exclusive", &place.lock());
    let output = inside(&place);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(
        table.starts_with("nobody that can be seen from this pid namespace"),
        "{table}"
    );
    Ok(())
}

pub(crate) fn what_was_inherited_into_a_pid_namespace_is_found_in_it() -> Tried {
    needs_root()?;
    needs("flock")?;
    needs("unshare")?;
    let place = Place::new();
    create(&place.lock());
    // flock(1) is outside of the namespace. Its command is inside and has inherited the lock.
    let mut command = assert_cmd::Command::new("flock");
    let command = command.arg(place.lock());
    let command = command.args(["unshare", "--pid", "--fork", "--mount-proc"]);
    let command = command.arg(touchfile()).arg("who").arg(place.lock());
    let output = command.timeout(DEADLINE).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare") {
        return skip(format!("no new pid namespace: {said}"));
    }
    let table = String::from_utf8_lossy(&output.stdout);
    // The first process of the namespace runs `who`.
    assert!(table.contains("\n1  "), "{table}");
    assert!(table.contains("FLOCK"), "{table}");
    Ok(())
}
