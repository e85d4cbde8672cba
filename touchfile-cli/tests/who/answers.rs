//! Output and exit status.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Place, touchfile, unread_pipe};
use crate::who::{create, who};

fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap()
}

pub(crate) fn a_table_names_the_holder_and_the_status_says_that_there_is_one() {
    let place = Place::new();
    let holder = place.held(&[]);
    let output = who().arg(place.lock()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    let head: Vec<_> = lines[0].split_whitespace().collect();
    let expected = [
        "PID", "USER", "KIND", "MODE", "STATE", "BYTES", "AGE", "COMMAND",
    ];
    assert_eq!(head, expected);
    let row: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(row[0], holder.pid().to_string());
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap();
    if let Some(user) = user {
        assert_eq!(row[1], user.name);
    }
    assert_eq!(row[2..6], ["FLOCK", "exclusive", "holds", "all"]);
    assert!(lines[1].contains("  touchfile run "), "{}", lines[1]);
    assert!(
        !text(&output.stdout).contains('\x1b'),
        "nobody asked for colours"
    );
}

pub(crate) fn nobody_is_an_answer_and_a_status() {
    let place = Place::new();
    create(&place.lock());
    let output = who().arg(place.lock()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("nobody "));
    let output = who().arg("--json").arg(place.lock()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["files"][0]["holders"], Value::Array(vec![]));
}

pub(crate) fn one_of_several_that_is_held_is_enough() {
    let place = Place::new();
    let free = place.file("free.lock");
    create(&free);
    let _held = place.held(&[]);
    let output = who().arg(&free).arg(place.lock()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output.stdout);
    assert!(table.starts_with("FILE "), "{table}");
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with(place.lock().to_str().unwrap()), "{table}");
    let last = table.lines().last().unwrap();
    assert!(
        last.starts_with("nobody ") && last.ends_with("free.lock"),
        "{table}"
    );
}

pub(crate) fn a_file_that_cannot_be_looked_at_is_one_line_and_the_others_are_looked_at() {
    let place = Place::new();
    let _held = place.held(&[]);
    let missing = place.file("missing.lock");
    let output = who().arg(&missing).arg(place.lock()).output().unwrap();
    assert_eq!(output.status.code(), Some(66));
    assert!(text(&output.stdout).contains("exclusive"));
    let said = text(&output.stderr);
    let line = format!("touchfile: cannot look at {}: ", missing.display());
    assert!(said.lines().any(|said| said.starts_with(&line)), "{said}");
    assert!(!missing.exists());
    let output = who().arg("--json").arg(&missing).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["files"][0]["error"].is_string());
}

pub(crate) fn wrong_usage_is_64() {
    who().args(["--pid", "init", "a"]).assert().code(64);
    who().args(["--watch=soon", "a"]).assert().code(64);
}

pub(crate) fn looking_takes_no_lock_and_opens_nothing_that_could_wait() {
    let place = Place::new();
    let fifo = place.file("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    who().arg(&fifo).assert().code(1);
    let link = place.file("link");
    create(&place.lock());
    symlink(place.lock(), &link).unwrap();
    let _held = place.held(&[]);
    who().arg(&link).assert().code(0);
    place.assert_held();
}

pub(crate) fn names_that_are_not_text_work() {
    let place = Place::new();
    let name = place.file(OsStr::from_bytes(b"\xff\n\x1b.lock"));
    create(&name);
    let output = who().arg(&name).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert_eq!(table.lines().count(), 1, "{table:?}");
    assert!(!table.contains('\x1b'), "{table:?}");
    let output = who().arg("--json").arg(&name).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes = answer["files"][0]["path_bytes"].as_array().unwrap();
    let bytes: Vec<u8> = bytes
        .iter()
        .map(|byte| byte.as_u64().unwrap().try_into().unwrap())
        .collect();
    assert_eq!(bytes, name.as_os_str().as_bytes());
}

pub(crate) fn a_reader_that_goes_away_ends_it_without_a_word() {
    let place = Place::new();
    let _held = place.held(&[]);
    for options in [
        &[][..],
        &["--json"],
        &["--watch=50ms"],
        &["--watch=50ms", "--json"],
    ] {
        let mut child = Command::new(touchfile())
            .arg("who")
            .args(options)
            .arg(place.lock())
            .stdout(unread_pipe())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let signal = child.wait().unwrap().signal();
        assert_eq!(signal, Some(Signal::SIGPIPE as i32), "{options:?}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
