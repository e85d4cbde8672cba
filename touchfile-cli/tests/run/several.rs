//! Several lock files at once.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{DEADLINE, Place, Process, STAY, run, touchfile, until};

#[test]
fn commands_that_take_the_same_locks_in_other_orders_all_come_to_their_turn() {
    const TURNS: u32 = 15;
    let place = Place::new();
    for name in ["a", "b", "counter"] {
        fs::write(place.file(name), "0\n").unwrap();
    }
    // An order by name would lock "a" and "b" in another order than "b" and "z".
    fs::hard_link(place.file("a"), place.file("z")).unwrap();
    let orders = [["a", "b"], ["b", "a"], ["b", "z"], ["z", "b"]];
    thread::scope(|scope| {
        for order in orders {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..TURNS {
                    run()
                        .args(order.map(|name| place.file(name)))
                        .args(["--", "sh", "-c"])
                        .arg(r#"read n < "$0"; echo $((n + 1)) > "$0""#)
                        .arg(place.file("counter"))
                        .assert()
                        .success();
                }
            });
        }
    });
    let total = fs::read_to_string(place.file("counter")).unwrap();
    assert_eq!(total.trim(), (TURNS * 4).to_string());
}

#[test]
fn a_file_that_is_given_twice_is_locked_once_whatever_its_names() {
    let place = Place::new();
    fs::write(place.file("a"), "").unwrap();
    fs::hard_link(place.file("a"), place.file("link")).unwrap();
    symlink(place.directory(), place.file("around")).unwrap();
    run()
        .current_dir(place.directory())
        .args([
            "a",
            "./a",
            "link",
            "around/a",
            "around/link",
            "new",
            "around/new",
        ])
        .args(["--", "echo", "inside"])
        .assert()
        .success()
        .stdout("inside\n")
        .stderr("");
}

#[test]
fn all_are_held_while_the_command_runs_and_none_afterwards() {
    let place = Place::new();
    let mut command = std::process::Command::new(touchfile());
    let names = ["a", "b", "c"].map(|name| place.file(name));
    command.arg("run").args(&names).arg("--").args(STAY);
    let mut process = Process::spawn(&mut command);
    assert_eq!(process.line(), "inside");
    for name in &names {
        try_lock(name).code(1);
    }
    assert!(process.finish().success());
    for name in &names {
        try_lock(name).success();
    }
}

#[test]
fn none_is_held_where_one_is_not_to_be_had() {
    let place = Place::new();
    let _held = place.held(&[]);
    let (others, held) = (["a", "b"].map(|name| place.file(name)), place.lock());
    for options in [&["--nonblock"][..], &["--timeout", "20ms"]] {
        let names = [&others[0], &held, &others[1]];
        let mut command = run();
        let command = command.args(options).args(names);
        let told = command.args(["--", "echo", "ran"]).assert();
        told.code(1).stdout("");
        for name in &others {
            try_lock(name).success();
        }
    }
}

#[test]
fn while_one_is_waited_for_a_command_that_is_killed_leaves_none_behind() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let mut command = std::process::Command::new(touchfile());
    command.arg("run").arg(place.lock()).arg(place.file("b"));
    let mut waiting = Process::spawn(command.args(["--", "echo", "ran"]));
    place.until_opened_by(&waiting);
    waiting.send(nix::sys::signal::Signal::SIGINT);
    assert_eq!(waiting.ended().code(), None);
    try_lock(&place.file("b")).success();
    assert!(held.finish().success());
    place.assert_free();
}

#[test]
fn one_bad_file_is_named_and_nothing_is_run() {
    let place = Place::new();
    fs::create_dir(place.file("d")).unwrap();
    symlink("nowhere", place.file("bad")).unwrap();
    let told = run()
        .current_dir(place.directory())
        .args(["d", "bad", "c", "--", "echo", "ran"])
        .assert()
        .code(66)
        .stdout("");
    let told = str::from_utf8(&told.get_output().stderr).unwrap();
    assert!(told.contains("/bad") && told.lines().count() == 1, "{told}");
    try_lock(&place.file("d")).success();
    let told = run()
        .current_dir(place.directory())
        .args(["d", "", "--", "echo", "ran"])
        .assert();
    told.code(66).stdout("");
}

#[test]
fn shared_locks_are_shared_one_and_all() {
    let place = Place::new();
    let names = ["a", "b"].map(|name| place.file(name));
    let mut command = std::process::Command::new(touchfile());
    command
        .args(["run", "--shared"])
        .args(&names)
        .arg("--")
        .args(STAY);
    let mut process = Process::spawn(&mut command);
    assert_eq!(process.line(), "inside");
    run()
        .args(["--nonblock", "--shared"])
        .args(&names)
        .args(["--", "true"])
        .assert()
        .success();
    for name in &names {
        try_lock(name).code(1);
    }
    assert!(process.finish().success());
}

fn try_lock(path: &std::path::Path) -> assert_cmd::assert::Assert {
    let mut command = run();
    command.timeout(DEADLINE).arg("--nonblock").arg(path);
    command.arg("true").assert()
}

#[test]
fn more_locks_than_the_soft_limit_of_descriptors_are_taken_and_the_command_has_the_limit() {
    let place = Place::new();
    let names: Vec<String> = (0..200).map(|number| format!("{number}.lock")).collect();
    // The command starts a process, which needs descriptors, and finds all locks held.
    let inside = r#"ulimit -Sn; ulimit -Hn; "$0" run --nonblock 199.lock -- true; echo $?"#;
    let script = r#"ulimit -Sn 64 && ulimit -Hn 4000 && exec "$0" run "$@""#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(touchfile())
        .args(&names)
        .args(["--", "sh", "-c", inside])
        .arg(touchfile())
        .current_dir(place.directory())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"64\n4000\n1\n", "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn locks_above_the_soft_limit_stay_with_the_command_as_others_do() {
    let place = Place::new();
    let names: Vec<String> = (0..200).map(|number| format!("{number}.lock")).collect();
    let script = r#"ulimit -Sn 64 && exec "$0" run "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(touchfile()).args(&names);
    command.current_dir(place.directory()).arg("--");
    let mut process = Process::spawn(command.args(STAY));
    assert_eq!(process.line(), "inside");
    process.send(Signal::SIGKILL);
    assert_eq!(process.ended().signal(), Some(Signal::SIGKILL as i32));
    let is_free = |name: &String| {
        let mut command = run();
        command.arg("--nonblock").arg(place.file(name)).arg("true");
        command.output().unwrap().status.success()
    };
    assert!(!names.iter().step_by(20).any(is_free));
    process.hang_up();
    for name in &names {
        until("it is free", || is_free(name));
    }
}
