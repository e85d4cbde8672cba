//! `touchfile doctor` on each file system that is available.
#![cfg_attr(not(target_os = "linux"), allow(unused))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "mounts/mod.rs"]
mod mounts;
#[path = "trials/mod.rs"]
mod trials;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mounts::Mounted;
use serde_json::Value;
use trials::{Tried, copy_program, needs_root, skip};

fn main() {
    trials::run![
        all_is_well_on_btrfs,
        all_is_well_on_ext4,
        all_is_well_on_overlayfs_if_everybody_goes_through_it,
        all_is_well_on_tmpfs,
        all_is_well_on_xfs,
        the_verdict_is_the_first_line_and_the_laws_follow,
        a_file_is_looked_at_and_locks_are_tried_next_to_it,
        what_cannot_be_looked_at_is_66_and_one_line,
        where_nothing_can_be_tried_the_verdict_says_so,
        whoever_may_not_write_is_told_what_is_known,
        an_export_by_a_local_nfs_server_is_a_warning_that_names_fcntl,
        it_ends_though_the_file_system_is_stuck_and_says_what_it_knows,
    ];
}

const DEADLINE: Duration = Duration::from_secs(60);

fn doctor() -> assert_cmd::Command {
    let mut command = assert_cmd::cargo_bin_cmd!("touchfile");
    command.timeout(DEADLINE).arg("doctor");
    command
}

/// Its exit status and JSON, from a run that had the time to try everything. On a busy machine its two
/// seconds may be too short.
#[track_caller]
fn diagnosis(path: &Path) -> (i32, Value) {
    let started = Instant::now();
    loop {
        let output = doctor().arg("--json").arg(path).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let late = |note: &Value| note.as_str().unwrap().contains("in time");
        if !said["notes"].as_array().unwrap().iter().any(late) {
            return (output.status.code().unwrap(), said);
        }
        assert!(started.elapsed() < DEADLINE, "{said:#}");
    }
}

fn outcomes(said: &Value, backend: &str) -> Vec<String> {
    let tried = said["tried"].as_array().unwrap().iter();
    let tried = tried.filter(|tried| tried["backend"] == backend);
    tried
        .map(|tried| tried["outcome"].as_str().unwrap().to_owned())
        .collect()
}

fn is_well_on(mounted: &Mounted, name: &str, notes: usize) {
    for place in mounted.places() {
        let (status, said) = diagnosis(place);
        assert_eq!(status, 0, "{said:#}");
        assert_eq!(said["status"], 0);
        assert_eq!(said["file_system"], name);
        assert_eq!(said["guarantee"], "host-local");
        assert_eq!(said["backend"], "flock");
        for backend in ["flock", "fcntl"] {
            assert_eq!(outcomes(&said, backend), ["holds"; 3], "{said:#}");
        }
        assert_eq!(said["notes"].as_array().unwrap().len(), notes, "{said:#}");
        let point = said["mount"]["point"].as_str().unwrap();
        assert!(place.starts_with(point), "{said:#}");
        let left = fs::read_dir(place).unwrap();
        let left = left.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.as_bytes().starts_with(b".touchfile")
        });
        assert_eq!(left.count(), 0, "it cleans up");
    }
}

fn all_is_well_on_btrfs() -> Tried {
    is_well_on(&mounts::btrfs()?, "btrfs", 0);
    Ok(())
}

fn all_is_well_on_ext4() -> Tried {
    is_well_on(&mounts::ext4()?, "ext4", 0);
    Ok(())
}

fn all_is_well_on_overlayfs_if_everybody_goes_through_it() -> Tried {
    is_well_on(&mounts::overlay()?, "overlayfs", 1);
    Ok(())
}

fn all_is_well_on_tmpfs() -> Tried {
    is_well_on(&mounts::tmpfs()?, "tmpfs", 0);
    Ok(())
}

fn all_is_well_on_xfs() -> Tried {
    is_well_on(&mounts::xfs()?, "xfs", 0);
    Ok(())
}

fn the_verdict_is_the_first_line_and_the_laws_follow() {
    let dir = tempfile::tempdir().unwrap();
    let output = doctor().arg(dir.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines();
    assert!(
        lines.next().unwrap().starts_with("use flock: on "),
        "{said}"
    );
    for law in ["exclusion", "identity", "release on kill"] {
        assert!(lines.any(|line| line.starts_with(law)), "{said}");
    }
    assert!(output.stderr.is_empty());
}

fn a_file_is_looked_at_and_locks_are_tried_next_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(OsStr::from_bytes(b"\xff\n.lock"));
    for _ in 0..2 {
        let (status, said) = diagnosis(&file);
        assert_eq!(status, 0, "{said:#}");
        assert_eq!(outcomes(&said, "flock"), ["holds"; 3]);
        fs::write(&file, "mine").unwrap(); // the first run is without the file, the second with it
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

fn what_cannot_be_looked_at_is_66_and_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for missing in [dir.path().join("no/where/a.lock"), "".into()] {
        let output = doctor().arg(&missing).output().unwrap();
        assert_eq!(output.status.code(), Some(66));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("touchfile: "), "{said}");
        assert!(output.stdout.is_empty());
    }
}

fn where_nothing_can_be_tried_the_verdict_says_so() {
    let (status, said) = diagnosis(Path::new("/proc"));
    assert_eq!(status, 2, "{said:#}");
    assert!(
        said["verdict"]
            .as_str()
            .unwrap()
            .ends_with("not all of it could be tried")
    );
    assert_eq!(outcomes(&said, "flock"), ["not tried"; 3]);
    let [note] = &said["notes"].as_array().unwrap()[..] else {
        panic!("{said:#}")
    };
    assert!(
        note.as_str()
            .unwrap()
            .contains("nothing can be created in /proc")
    );
}

fn whoever_may_not_write_is_told_what_is_known() -> Tried {
    needs_root()?;
    let dir = tempfile::tempdir().unwrap();
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.path(), everybody.clone()).unwrap();
    let copy = dir.path().join("touchfile");
    copy_program(assert_cmd::cargo::cargo_bin!("touchfile"), &copy);
    fs::set_permissions(&copy, everybody).unwrap();
    let mut command = Command::new(&copy);
    let command = command
        .arg("doctor")
        .arg(dir.path())
        .uid(65_534)
        .gid(65_534);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("note: not tried: nothing can be created in "),
        "{said}"
    );
    Ok(())
}

fn an_export_by_a_local_nfs_server_is_a_warning_that_names_fcntl() -> Tried {
    needs_root()?;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    // The list of exports of exportfs(8) is in a new mount namespace.
    let script = r#"
        mount -t tmpfs none /var/lib && mkdir /var/lib/nfs &&
        printf '%s\t*(rw,sync)\n' "$2" > /var/lib/nfs/etab && exec "$1" doctor --json "$2/"
    "#;
    let mut unshare = assert_cmd::Command::new("unshare");
    let unshare = unshare.args(["--mount", "sh", "-c", script, "sh"]);
    let unshare = unshare.arg(assert_cmd::cargo::cargo_bin!("touchfile"));
    let output = unshare.arg(&dir).timeout(DEADLINE).output().unwrap();
    if output.stdout.is_empty() {
        return skip(String::from_utf8_lossy(&output.stderr));
    }
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said:#}");
    assert_eq!(said["backend"], "fcntl");
    assert_eq!(said["export"]["directory"], dir.to_str().unwrap());
    assert_eq!(said["export"]["active"], true);
    let note = said["notes"][0].as_str().unwrap();
    assert!(
        note.contains("flock here does not exclude its clients, fcntl does"),
        "{note}"
    );
    assert!(
        said["verdict"].as_str().unwrap().starts_with("use fcntl"),
        "{said:#}"
    );
    Ok(())
}

/// A frozen file system. It is thawed when this is dropped, since it could not be unmounted otherwise.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        Command::new("fsfreeze")
            .arg("-u")
            .arg(self.0)
            .status()
            .unwrap();
    }
}

fn it_ends_though_the_file_system_is_stuck_and_says_what_it_knows() -> Tried {
    let mounted = mounts::ext4()?;
    let place = &mounted.places()[0];
    let frozen = Command::new("fsfreeze").arg("-f").arg(place).status();
    if !frozen.is_ok_and(|status| status.success()) {
        return skip("no fsfreeze");
    }
    let frozen = Frozen(place);
    // A doctor that accesses it would hang for ever, and not even the timeout could kill it.
    let output = doctor().arg(place).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("file system      ext4, local"), "{said}");
    assert!(said.contains("note: it did not answer in time"), "{said}");
    drop(frozen);
    // After the thaw the blocked processes end, and the file system can be unmounted.
    Ok(())
}
