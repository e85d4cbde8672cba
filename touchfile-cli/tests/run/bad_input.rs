//! Lock files that cannot be used: an exit status, one line, and nothing left behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

use crate::support::{Place, run, touchfile};

const NO_INPUT: i32 = 66;
const CANNOT_CREATE: i32 = 73;

#[test]
fn an_empty_name_is_refused() {
    refused(Path::new(""), NO_INPUT, "empty");
}

#[test]
fn a_missing_directory_is_refused_and_not_created() {
    let place = Place::new();
    refused(&place.file("no/a.lock"), NO_INPUT, "create it first");
    assert!(place.contents().is_empty());
}

#[test]
fn a_file_where_a_directory_should_be_is_refused() {
    let place = Place::new();
    fs::write(place.file("file"), "").unwrap();
    refused(&place.file("file/a.lock"), NO_INPUT, "not a directory");
}

#[test]
fn a_fifo_is_refused_without_waiting_for_its_other_end() {
    let place = Place::new();
    mkfifo(&place.lock(), Mode::S_IRWXU).unwrap();
    refused(&place.lock(), NO_INPUT, "FIFO");
}

#[test]
fn a_socket_is_refused() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.lock()).unwrap();
    refused(&place.lock(), NO_INPUT, "socket");
}

#[test]
fn a_device_is_refused() {
    refused(Path::new("/dev/null"), NO_INPUT, "device");
}

#[test]
fn a_symbolic_link_is_refused_and_not_followed() {
    let place = Place::new();
    symlink(place.file("target"), place.lock()).unwrap();
    refused(&place.lock(), NO_INPUT, "give --follow-symlinks");
    fs::write(place.file("target"), "").unwrap();
    refused(&place.lock(), NO_INPUT, "the file that it leads to");
}

#[test]
fn a_symbolic_link_is_followed_if_that_is_wanted() {
    let place = Place::new();
    fs::write(place.file("target"), "").unwrap();
    symlink(place.file("target"), place.lock()).unwrap();
    let mut held = place.held(&["--follow-symlinks"]);
    let taken = |words: &[&str]| {
        let mut command = run();
        let command = command.current_dir(place.directory()).arg("--nonblock");
        command
            .args(words)
            .args(["--", "true"])
            .output()
            .unwrap()
            .status
            .code()
            == Some(1)
    };
    assert!(taken(&["target"]));
    assert!(taken(&["--follow-symlinks", "a.lock"]));
    assert!(taken(&["--follow-symlinks", "b.lock", "a.lock"]));
    // Both names are the same file, which is locked once.
    symlink("target", place.file("c.lock")).unwrap();
    assert!(held.finish().success());
    assert!(!taken(&["--follow-symlinks", "a.lock", "c.lock", "target"]));
}

#[test]
fn a_symbolic_link_that_is_followed_and_leads_nowhere_is_refused() {
    let place = Place::new();
    let refused = |path: &Path, because: &str| {
        let mut command = run();
        let command = command.arg("--follow-symlinks").arg(path);
        let output = command.args(["--", "echo", "ran"]).output().unwrap();
        assert_refused(&output, NO_INPUT, because);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("--follow-symlinks"), "{said}");
    };
    symlink(place.lock(), place.lock()).unwrap();
    refused(&place.lock(), "a loop");
    symlink(place.file("no/such/file"), place.file("lost")).unwrap();
    refused(&place.file("lost"), "leads nowhere");
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let place = Place::new();
    refused(&place.file("x".repeat(256)), NO_INPUT, "too long");
    refused(&place.file("x/".repeat(4096)), NO_INPUT, "4095 at most");
}

#[test]
fn a_name_cannot_add_lines_or_control_the_terminal() {
    let place = Place::new();
    refused(
        &place.file("a\nb\x1b[2J/a.lock"),
        NO_INPUT,
        r"a\nb\u{1b}[2J",
    );
}

#[test]
fn a_file_that_must_not_be_read_is_refused() {
    let place = Place::new();
    fs::write(place.lock(), "").unwrap();
    fs::set_permissions(place.lock(), fs::Permissions::from_mode(0o0)).unwrap();
    if let Some(output) = unprivileged(&place) {
        assert_refused(&output, NO_INPUT, "permission");
    }
}

#[test]
fn a_file_that_must_not_be_created_is_refused() {
    let place = Place::new();
    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o555)).unwrap();
    if let Some(output) = unprivileged(&place) {
        assert_refused(&output, CANNOT_CREATE, "directory that you may write to");
    }
}

#[test]
fn a_file_system_without_room_for_files_is_refused() {
    // Not even root can create a file there.
    if !Path::new("/sys/kernel").exists() {
        println!("skipped: sysfs is not mounted");
        return;
    }
    refused(Path::new("/sys/kernel/a.lock"), CANNOT_CREATE, "permission");
}

#[track_caller]
fn refused(path: &Path, status: i32, because: &str) {
    let output = run()
        .arg(path)
        .args(["--", "echo", "ran"])
        .output()
        .unwrap();
    assert_refused(&output, status, because);
}

#[track_caller]
fn assert_refused(output: &Output, status: i32, because: &str) {
    let stderr = str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{stderr:?}");
    assert!(output.stdout.is_empty(), "the command ran");
    assert!(
        stderr.starts_with("touchfile: ") && stderr.ends_with('\n'),
        "{stderr:?}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert!(
        stderr.contains(because),
        "{stderr:?} does not say {because:?}"
    );
}

/// Runs as a user to whom permissions apply. It is `None` where that is impossible.
fn unprivileged(place: &Place) -> Option<Output> {
    let arguments = [
        OsStr::new("run"),
        place.lock().as_os_str(),
        OsStr::new("true"),
    ]
    .map(OsStr::to_owned);
    if !geteuid().is_root() {
        return Some(Command::new(touchfile()).args(arguments).output().unwrap());
    }
    // The user may not enter the directory of the file, and perhaps not that of the program. So the
    // program is opened here. A copy could be busy, because a child of another test may have it open.
    let directory = place.directory();
    let mode = directory.metadata().unwrap().permissions().mode();
    fs::set_permissions(&directory, fs::Permissions::from_mode(mode | 0o055)).unwrap();
    let nobody = 65534;
    let output = Command::new("/proc/self/fd/0")
        .args(arguments)
        .stdin(File::open(touchfile()).unwrap())
        .uid(nobody)
        .gid(nobody)
        .output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            println!(
                "skipped: run by root, whom permissions do not bind, and not as nobody: {error}"
            );
            None
        }
    }
}

#[test]
fn a_link_on_the_way_is_refused_if_that_is_asked_for() {
    let place = Place::new();
    fs::create_dir(place.file("directory")).unwrap();
    symlink("directory", place.file("link")).unwrap();
    let through = place.file("link/a.lock");
    let refused = run()
        .arg("--no-symlinks")
        .arg(&through)
        .arg("true")
        .assert();
    let refused = refused.code(66);
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(said.contains("symbolic link on the way"), "{said}");
    // Several are identified before they are locked.
    let mut two = run();
    two.arg("--no-symlinks").arg(&through).arg(place.lock());
    two.args(["--", "true"]).assert().code(66);
    assert!(!place.file("directory/a.lock").exists());
    let direct = place.file("directory/a.lock");
    run()
        .arg("--no-symlinks")
        .arg(direct)
        .arg("true")
        .assert()
        .success();
    run().arg(through).arg("true").assert().success();
    let mut both = run();
    both.args(["--no-symlinks", "--follow-symlinks"])
        .arg(place.lock())
        .arg("true");
    both.assert().code(64);
}
