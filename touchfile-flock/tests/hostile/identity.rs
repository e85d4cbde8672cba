//! A process that becomes another user in the middle of a wait.

use std::io::{BufRead, BufReader, Write, stdin};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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

/// The words that make this program wait for a lock, and say when it has it.
pub(crate) const TAKE: &str = "take-the-lock";

pub(crate) fn take(path: &Path) -> ExitCode {
    let touch = touch_at(path);
    let waits = thread::scope(|threads| {
        let taken = threads.spawn(|| touch.blocking().lock_exclusive().map(drop));
        println!("waits");
        taken.join().unwrap()
    });
    waits.unwrap();
    println!("locked");
    ExitCode::SUCCESS
}

/// Before, a process in a user namespace that has no number there followed any user's process.
pub(crate) fn namespaced() {
    let time = |attack: bool| {
        let (_dir, path) = lock_file();
        // The queue of `nobody`, whom all users without a number look like.
        let name = queue_name(&path).replace("/1/0/", "/1/65534/");
        let _attack = attack.then(|| Attack::start("take the name", &name));
        let touch = touch_at(&path);
        let held = touch.blocking().lock_exclusive().unwrap();
        let waiter = Command::new("unshare")
            .arg("--user")
            .arg(std::env::current_exe().unwrap())
            .args([TAKE, path.to_str().unwrap()])
            .env("TOUCHFILE_WAIT_WITHOUT", "directory")
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut waiter) = waiter else {
            eprintln!("skipped: there is no unshare(1)");
            return None;
        };
        let mut answers = BufReader::new(waiter.stdout.take().unwrap()).lines();
        if answers.next().is_none() {
            eprintln!("skipped: there can be no user namespace here");
            return None;
        }
        // It has its place by then, and does nothing that would tell so.
        thread::sleep(Duration::from_millis(500));
        let released = Instant::now();
        held.unlock().unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), "locked");
        let late = released.elapsed();
        assert!(waiter.wait().unwrap().success());
        Some(late)
    };
    // Who runs when is the scheduler's choice: each figure is the least of some runs.
    let least = |attack| (0..3).filter_map(|_| time(attack)).min();
    let (Some(control), Some(attacked)) = (least(false), least(true)) else {
        return;
    };
    eprintln!("the lock is had after {control:?}, and {attacked:?} under the attack");
    assert!(attacked < control + Duration::from_millis(400));
}
