//! Runs of `touchfile who`, and programs that hold locks.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{DEADLINE, Process, touchfile, until};

/// A script that takes a lock according to its arguments, prints that, and holds it until its input ends.
///
/// `F_OFD_SETLKW` is 38, and struct flock is that of Linux with offsets of 64 bits.
const HOLDER: &str = r#"
import fcntl, os, struct, sys
how, mode, path, start, length = sys.argv[1:6]
start, length = int(start), int(length)
fd = os.open(path, os.O_RDWR)
exclusive = mode == "exclusive"
if how == "POSIX":
    fcntl.lockf(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, length, start)
elif how == "OFDLCK":
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    fcntl.fcntl(fd, 38, struct.pack("hhqqi4x", kind, 0, start, length, 0))
else:
    fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"#;

/// A Python program that is about to lock `path`.
pub(crate) fn python(how: &str, mode: &str, path: &Path, start: u64, length: u64) -> Process {
    let mut command = Command::new("python3");
    command.args(["-c", HOLDER, how, mode]).arg(path);
    Process::spawn(command.args([start.to_string(), length.to_string()]))
}

/// A Python program that has locked `path`.
pub(crate) fn held(how: &str, mode: &str, path: &Path) -> Process {
    let mut process = python(how, mode, path, 0, 0);
    assert_eq!(process.line(), "held");
    process
}

/// `touchfile who`, for a run that ends soon.
pub(crate) fn who() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(touchfile());
    command.timeout(DEADLINE).arg("who");
    command
}

/// Its JSON about one file.
pub(crate) fn ask(path: &Path) -> Value {
    let output = who().arg("--json").arg(path).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["files"][0].clone()
}

/// The pids, kinds and modes of the holders, in the order of the output.
pub(crate) fn holders(path: &Path) -> Vec<(u64, String, String)> {
    claims(&ask(path)["holders"])
}

pub(crate) fn claims(list: &Value) -> Vec<(u64, String, String)> {
    let word = |holder: &Value, key: &str| holder[key].as_str().unwrap().to_owned();
    let list = list.as_array().unwrap().iter();
    list.map(|holder| {
        let pid = holder["pid"].as_u64().unwrap_or_default();
        (pid, word(holder, "kind"), word(holder, "mode"))
    })
    .collect()
}

pub(crate) fn claim(process: &Process, kind: &str, mode: &str) -> (u64, String, String) {
    let pid = u64::try_from(process.pid().as_raw()).unwrap();
    (pid, kind.into(), mode.into())
}

/// Waits until this many waiters are listed for the file.
#[track_caller]
pub(crate) fn until_waiters(path: &Path, count: usize) -> Value {
    let mut answer = Value::Null;
    until("the waiters are blocked", || {
        answer = ask(path);
        answer["waiters"].as_array().unwrap().len() == count
    });
    answer
}

/// An empty file to lock.
pub(crate) fn create(path: &Path) {
    fs::write(path, "").unwrap();
}
