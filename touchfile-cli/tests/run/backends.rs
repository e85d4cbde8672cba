//! The kinds of locks.

use nix::sys::signal::Signal;

use crate::support::{Place, run, touchfile, until};

/// The exit status of a command under this kind of lock.
fn try_lock(place: &Place, options: &[&str]) -> Option<i32> {
    let mut command = run();
    command.arg("--nonblock").args(options).arg(place.lock());
    command.arg("true").output().unwrap().status.code()
}

#[test]
fn on_a_local_file_system_the_default_is_flock() {
    let place = Place::new();
    for (held, others) in [
        (&[][..], ["auto", "flock"]),
        (&["--backend", "auto"], ["auto", "flock"]),
        (&["--backend", "flock"], ["auto", "flock"]),
    ] {
        let mut held = place.held(held);
        for other in others {
            assert_eq!(try_lock(&place, &["--backend", other]), Some(1), "{other}");
        }
        // On a local file system the two kinds are independent of each other.
        assert_eq!(try_lock(&place, &["--backend", "fcntl"]), Some(0));
        assert!(held.finish().success());
    }
}

#[test]
fn a_lock_of_fcntl_excludes_all_that_are() {
    let place = Place::new();
    let mut held = place.held(&["--backend", "fcntl"]);
    assert_eq!(try_lock(&place, &["--backend", "fcntl"]), Some(1));
    assert_eq!(
        try_lock(&place, &["--backend", "fcntl", "--shared"]),
        Some(1)
    );
    let mut flock = assert_cmd::Command::new(touchfile());
    let flock = flock.args(["flock", "--fcntl", "-n"]).arg(place.lock());
    flock.arg("true").assert().code(1);
    assert_eq!(try_lock(&place, &[]), Some(0));
    assert!(held.finish().success());
    assert_eq!(try_lock(&place, &["--backend", "fcntl"]), Some(0));
}

#[test]
fn the_command_is_told_which_it_is() {
    let place = Place::new();
    for (backend, way) in [("auto", "flock"), ("fcntl", "fcntl"), ("flock", "flock")] {
        run()
            .args(["--env", "--shared", "--backend", backend])
            .arg(place.lock())
            .args(["--", "printenv", "TOUCHFILE_LOCKS"])
            .assert()
            .success()
            .stdout(format!("shared {way} {}\n", place.lock().display()));
    }
}

#[test]
fn a_lock_of_any_kind_stays_with_the_command_if_touchfile_is_killed() {
    for backend in ["auto", "fcntl", "flock"] {
        for (inherit, stays) in [("--inherit", true), ("--no-inherit", false)] {
            let place = Place::new();
            let options = ["--backend", backend];
            let script = "echo inside; read line || true; echo end";
            let with = [&options[..], &[inherit]].concat();
            let mut process = place.start(&with, &["sh", "-c", script]);
            assert_eq!(process.line(), "inside");
            process.send(Signal::SIGKILL);
            process.ended();
            let expected = if stays { Some(1) } else { Some(0) };
            assert_eq!(try_lock(&place, &options), expected, "{with:?}");
            process.hang_up();
            assert_eq!(process.line(), "end");
            until("the lock is free", || try_lock(&place, &options) == Some(0));
        }
    }
}
