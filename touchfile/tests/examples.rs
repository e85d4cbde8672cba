//! The examples do what they show. `testing_with_mock` has its own tests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[test]
fn single_instance_runs_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("a.lock");
    let mut first = example("single_instance")
        .arg(&lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(first.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("the only instance"), "{line}");

    let second = output(example("single_instance").arg(&lock));
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another instance is running"));

    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    let third = output(example("single_instance").arg(&lock));
    assert!(third.status.success());
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

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
