//! A process that becomes another user in the middle of a wait.

use std::io::{BufRead, BufReader, Write, stdin};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use super::attack::{Attack, NOBODY};
use super::{is_in_proc, lock_file, queue_name, touch_at, wait_until};

/// The word that makes this program wait for a lock, and give up root when it is told to.
pub(crate) const GIVE_UP: &str = "give-up-root";

/// Waits for the lock, as the head of root's queue, becomes another user meanwhile, and hands over.
pub(crate) fn give_up(path: &Path) -> ExitCode {
    let touch = touch_at(path);
    let gives_up = thread::spawn(|| {
        stdin().read_line(&mut String::new()).unwrap();
        setgroups(&[]).unwrap();
        setgid(Gid::from_raw(NOBODY)).unwrap();
        setuid(Uid::from_raw(NOBODY)).unwrap();
        println!("nobody");
    });
    let guard = touch.blocking().lock_exclusive().unwrap();
    gives_up.join().unwrap();
    guard.unlock().unwrap();
    ExitCode::SUCCESS
}

/// Before, the head was handed to who had the user that the process had by then.
pub(crate) fn given_up_root() {
    let (_dir, path) = lock_file();
    let touch = touch_at(&path);
    let held = touch.blocking().lock_exclusive().unwrap();
    let mut head = Command::new(std::env::current_exe().unwrap())
        .args([GIVE_UP, path.to_str().unwrap()])
        .env("TOUCHFILE_WAIT_WITHOUT", "directory")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let name = queue_name(&path);
    wait_until("there is a queue", || is_in_proc(&name));
    let mut attack = Attack::start("follow", &name);
    writeln!(head.stdin.take().unwrap()).unwrap();
    let mut line = String::new();
    let mut answers = BufReader::new(head.stdout.take().unwrap());
    answers.read_line(&mut line).unwrap();
    assert_eq!(line, "nobody\n");
    held.unlock().unwrap();
    assert!(head.wait().unwrap().success());
    let came = attack.answer();
    eprintln!("the user that root's process became is handed {came}");
    assert_eq!(came, "nothing");
}
