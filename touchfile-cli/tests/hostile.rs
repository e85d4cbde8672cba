//! What a command of another user can do with the lock that `touchfile run` leaves it.
//!
//! The attack is a process of another user. Each test prints a figure with the attack and one of a
//! control, in which the same attack succeeds. They need root, to be two users, and are ignored without.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, stdin};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use libtest_mimic::{Arguments, Trial};
use tempfile::{TempDir, tempdir};

/// Another user, with no rights on anything.
const NOBODY: u32 = 65_534;

/// The words that make this program the attacker.
const ATTACK: &str = "attack-as-another-user";
const TAKE_NAME: &str = "take-the-name-of-the-queue";

/// Writes through every descriptor beyond the three streams, by its number and by its name in /proc.
/// Then it says so, and stays until its input ends.
const SCRIPT: &str = r#"
for name in /proc/self/fd/*; do
    fd=${name##*/}
    case $fd in 0|1|2|'*') continue;; esac
    (eval "echo stolen >&$fd") 2>/dev/null
    (eval "echo stolen 1<>/proc/self/fd/$fd") 2>/dev/null
done
echo tried
read line || true
"#;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(ATTACK) {
        // As setpriv(1) and sudo(8) do: descriptors stay.
        let mut shell = Command::new("/bin/sh");
        let error = shell.args(["-c", SCRIPT]).uid(NOBODY).gid(NOBODY).exec();
        panic!("{error}");
    }
    if env::args().nth(1).as_deref() == Some(TAKE_NAME) {
        let name = env::args().nth(2).unwrap();
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        println!("taken");
        stdin().read_line(&mut String::new()).unwrap();
        return ExitCode::SUCCESS;
    }
    let is_root = rustix::process::geteuid().is_root();
    let trials: [(&str, fn()); 3] = [
        (
            "a_command_of_another_user_cannot_write_to_the_lock_file",
            write,
        ),
        (
            "the_lock_stays_with_a_command_of_another_user_if_touchfile_is_killed",
            stay,
        ),
        (
            "the_doctor_tells_where_waits_stand_in_line_and_who_has_taken_the_place",
            told_by_the_doctor,
        ),
    ];
    let trials = trials.map(|(sentence, test)| {
        let trial = Trial::test(sentence, move || {
            test();
            Ok(())
        });
        let kind = if is_root { "" } else { "skipped, needs root" };
        trial.with_ignored_flag(!is_root).with_kind(kind)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// Every way in which a command gets the lock.
const WAYS: [&[&str]; 8] = [
    &["--backend", "auto"],
    &["--backend", "flock"],
    &["--backend", "fcntl"],
    &["--backend", "fcntl", "--shared"],
    &["--backend", "fcntl", "--inherit", "--env"],
    &["--backend", "fcntl", "--no-inherit"],
    &["--backend", "flock", "--exec"],
    &["--backend", "fcntl", "--exec"],
];

/// A lock file that root alone may open, in a directory that all may see.
fn lock_file() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("a.lock");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    (dir, path)
}

/// The attacker, until this is dropped.
struct Attack {
    touchfile: Child,
    input: Option<ChildStdin>,
}

impl Attack {
    /// Starts it below `command`, whose last words are those of the attacker, and waits until it has tried.
    fn start(command: &mut Command) -> Self {
        let command = command.arg(env::current_exe().unwrap()).arg(ATTACK);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut touchfile = piped.spawn().unwrap();
        let mut output = BufReader::new(touchfile.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "tried\n");
        // Waiting for the process closes the input that it still has.
        let input = touchfile.stdin.take();
        Self { touchfile, input }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        drop(self.input.take());
        self.touchfile.wait().unwrap();
    }
}

fn touchfile(options: &[&str], path: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("touchfile"));
    command.arg("run").args(options).arg(path).arg("--");
    command
}

/// Before, the attack could write through the descriptor of every lock but those of flock(2).
fn write() {
    let (_dir, path) = lock_file();
    let mut shell = Command::new("/bin/sh");
    let control = shell.args(["-c", r#"exec 9<>"$0"; exec "$@""#]);
    drop(Attack::start(control.arg(&path)));
    let written = fs::metadata(&path).unwrap().len();
    eprintln!("with a descriptor that is open for writing, the attack writes {written} bytes");
    assert!(written > 0, "the control is no attack");
    for options in WAYS {
        let (_dir, path) = lock_file();
        drop(Attack::start(&mut touchfile(options, &path)));
        let written = fs::metadata(&path).unwrap().len();
        eprintln!("under touchfile run {}: {written} bytes", options.join(" "));
        assert_eq!(written, 0, "{options:?}");
    }
}

fn is_free(options: &[&str], path: &Path) -> bool {
    let mut command = touchfile(&[&["--nonblock"], &options[..2]].concat(), path);
    command.arg("true").status().unwrap().success()
}

/// What must not be given up for it.
fn stay() {
    for options in WAYS.into_iter().filter(|way| !way.contains(&"--exec")) {
        let (_dir, path) = lock_file();
        let mut attack = Attack::start(&mut touchfile(options, &path));
        assert!(!is_free(options, &path), "{options:?}");
        attack.touchfile.kill().unwrap();
        attack.touchfile.wait().unwrap();
        let stays = !options.contains(&"--no-inherit");
        assert_eq!(is_free(options, &path), !stays, "{options:?}");
        drop(attack);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_free(options, &path) {
            assert!(Instant::now() < deadline, "{options:?}: still held");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn told_by_the_doctor() {
    let (_dir, path) = lock_file();
    let told = |without: &str, json: bool| {
        let mut doctor = Command::new(assert_cmd::cargo::cargo_bin!("touchfile"));
        doctor
            .arg("doctor")
            .args(json.then_some("--json"))
            .arg(&path);
        let output = doctor.env("TOUCHFILE_WAIT_WITHOUT", without).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let text = told("", false);
    assert!(
        text.contains("in /run/touchfile, which no other user can write"),
        "{text}"
    );
    assert!(told("", true).contains(r#""queue": "directory""#));
    let text = told("directory", false);
    assert!(text.contains("by an abstract socket name"), "{text}");

    let id = touchfile_file::FileId::from_file(&File::open(&path).unwrap()).unwrap();
    let mut attack = Command::new(env::current_exe().unwrap())
        .args([TAKE_NAME, &format!("touchfile/1/0/flock/{id}")])
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut answers = BufReader::new(attack.stdout.take().unwrap());
    answers.read_line(&mut line).unwrap();
    assert_eq!(line, "taken\n");
    let text = told("directory", false);
    assert!(
        text.contains("no: the user with number 65534 has taken the name"),
        "{text}"
    );
    assert!(text.contains("note: the user with number 65534"), "{text}");
    assert!(told("directory", true).contains(r#""queue": "taken""#));
    // Where there is a directory, the name is of no use to anybody.
    assert!(told("", true).contains(r#""queue": "directory""#));
    drop(attack.stdin.take());
    attack.wait().unwrap();
}
