//! The examples do what they show. `testing_with_mock` has its own tests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn single_instance_runs_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    let (mut first, said) = started(example("single_instance").arg(&lock).stdin(Stdio::piped()));
    assert!(said.starts_with("the only instance"), "{said}");

    let second = output(example("single_instance").arg(&lock));
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another instance is running"));

    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    let third = output(example("single_instance").arg(&lock));
    assert!(third.status.success());
}

#[test]
fn the_pid_file_names_who_runs_and_one_that_is_left_over_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pid");
    // Longer than a pid: what is left over must not be mixed with it.
    fs::write(&path, "999999999999 left over").unwrap();
    let (mut first, said) = started(example("pid_file").arg(&path).stdin(Stdio::piped()));
    assert!(said.contains("has the pid"), "{said}");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{}\n", first.id())
    );

    let second = output(example("pid_file").arg(&path));
    assert_eq!(second.status.code(), Some(1));
    let already = format!("it runs already, as pid {}\n", first.id());
    assert_eq!(text(&second.stderr), already);

    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    assert!(!path.exists(), "it is removed at the end");
}

#[test]
fn the_store_refuses_a_holder_that_was_stopped_beyond_its_lease() {
    let done = output(&mut example("fencing"));
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        text(&done.stdout),
        "stored: the second report\n\
         refused: the lock was lost: token 1 is older than 2, which was seen already\n\
         stored: the second report\n"
    );
}

#[cfg(unix)]
#[test]
fn the_service_ends_when_it_is_told_to_and_the_next_one_serves() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    let (first, said) = started(example("service").arg(&lock));
    assert_eq!(said, format!("serving, as pid {}\n", first.id()));

    let mut waiting = example("service");
    let mut waiting = waiting
        .arg(&lock)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waits = first_line(waiting.stderr.as_mut().unwrap());
    assert!(waits.contains("waiting for the exclusive lock"), "{waits}");
    #[cfg(target_os = "linux")]
    assert!(waits.contains(&format!("pid {}", first.id())), "{waits}");
    signal(&waiting, "TERM");
    let done = ended(waiting);
    assert!(done.status.success(), "{done:?}");
    assert!(text(&done.stdout).contains("SIGTERM: ended before"));

    let (third, said) = {
        signal(&first, "TERM");
        started(example("service").arg(&lock))
    };
    let done = ended(first);
    assert!(done.status.success(), "{done:?}");
    let last_words = text(&done.stdout);
    assert!(last_words.contains("SIGTERM: ending"), "{last_words}");
    assert!(last_words.contains("the lock is free"), "{last_words}");

    assert_eq!(said, format!("serving, as pid {}\n", third.id()));
    signal(&third, "INT");
    let done = ended(third);
    assert!(done.status.success(), "{done:?}");
    assert!(text(&done.stdout).contains("SIGINT: ending"));
}

#[test]
fn the_service_stops_when_its_lock_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    let (service, said) = started(example("service").arg(&lock).stderr(Stdio::piped()));
    assert!(said.starts_with("serving"), "{said}");
    fs::remove_file(&lock).unwrap();
    let stopped = ended(service);
    assert!(!stopped.status.success(), "{stopped:?}");
    assert!(text(&stopped.stderr).contains("lost"), "{stopped:?}");
}

#[test]
fn the_semaphore_gives_its_slots_to_all_who_want_one() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("downloads");
    let runs = [(); 3].map(|()| {
        let mut run = example("semaphore");
        run.arg(&lock).stdout(Stdio::piped()).spawn().unwrap()
    });
    for run in runs {
        let done = run.wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let said = text(&done.stdout);
        assert_eq!(said.lines().count(), 3, "{said}");
        let slots = said.matches("in slot 1").count() + said.matches("in slot 2").count();
        assert_eq!(slots, 3, "{said}");
    }
}

#[test]
fn readers_of_the_shared_cache_see_whole_generations() {
    let done = output(&mut example("shared_cache"));
    assert!(done.status.success(), "{done:?}");
    let said = text(&done.stdout);
    assert_eq!(said.matches("all it saw was whole").count(), 4, "{said}");
    assert!(said.contains("the writer wrote"), "{said}");
}

#[cfg(target_os = "linux")] // which alone has abstract sockets
#[test]
fn the_custom_backend_excludes_waits_and_refuses() {
    let done = output(&mut example("custom_backend"));
    assert!(done.status.success(), "{done:?}");
    let said = text(&done.stdout);
    assert!(said.contains("while it is held: "), "{said}");
    assert!(said.contains("once it is free: Guard"), "{said}");
    assert!(said.contains("what is not claimed: "), "{said}");
}

#[cfg(target_os = "linux")] // which has locks of open file descriptions
#[test]
fn rows_of_a_table_are_locked_one_by_one_and_none_is_lost() {
    let done = output(&mut example("byte_ranges"));
    assert!(done.status.success(), "{done:?}");
    let said = text(&done.stdout);
    assert_eq!(said.matches("moved 300 times").count(), 3, "{said}");
    assert!(
        said.contains("each of 50 times all 800 were there"),
        "{said}"
    );
    assert!(said.contains("800 were written down"), "{said}");
}

#[test]
fn threads_take_turns_without_a_runtime() {
    let done = output(&mut example("blocking"));
    assert!(done.status.success(), "{done:?}");
    let said = text(&done.stdout);
    assert!(said.contains("4 threads counted to 400"), "{said}");
    assert!(said.contains("gave up: "), "{said}");
    assert!(said.contains("free again: true"), "{said}");
}

/// An example, as `cargo test` has built it beside this test.
fn example(name: &str) -> Command {
    let this = env::current_exe().unwrap();
    let target = this.parent().and_then(Path::parent).unwrap();
    let program = target.join("examples").join(name);
    assert!(
        program.exists(),
        "build it first: cargo build -p touchfile --examples"
    );
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Starts it, and waits for the first line that it prints.
fn started(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let line = first_line(child.stdout.as_mut().unwrap());
    (child, line)
}

/// Reads a line and no more, so that the rest can be read by others.
fn first_line(from: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") && from.read(&mut byte).unwrap() == 1 {
        line.push(byte[0]);
    }
    text(&line)
}

/// Waits until it has ended, and kills it if it does not.
fn ended(mut child: Child) -> Output {
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not end: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Sends a signal, by the shell's own kill.
#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success());
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
