//! Holders with all kinds of locks.

use std::process::Command;

use crate::support::{Place, Process};
use crate::trials::{Tried, needs};
use crate::who::{ask, claim, claims, create, held, holders, python, until_waiters};

pub(crate) fn a_lock_of_each_kind_is_told_with_its_mode_and_its_process() -> Tried {
    needs("python3")?;
    let place = Place::new();
    create(&place.lock());
    for kind in ["FLOCK", "OFDLCK", "POSIX"] {
        for mode in ["exclusive", "shared"] {
            let holder = held(kind, mode, &place.lock());
            assert_eq!(holders(&place.lock()), [claim(&holder, kind, mode)]);
            let answer = ask(&place.lock());
            let told = &answer["holders"][0];
            let command = told["command"].as_str().unwrap();
            assert!(command.contains("python3 -c"), "{command}");
            assert_eq!(told["uid"], nix::unistd::geteuid().as_raw());
            assert_eq!(told["confirmed"], true);
            assert!(told["process_started"].as_str().unwrap().ends_with('Z'));
            assert_eq!(told["seen_for_seconds"], serde_json::Value::Null);
            assert_eq!(
                (&told["first_byte"], &told["last_byte"]),
                (&0.into(), &().into())
            );
        }
    }
    assert!(holders(&place.lock()).is_empty());
    Ok(())
}

pub(crate) fn locks_of_different_kinds_and_ranges_are_told_together() -> Tried {
    needs("python3")?;
    let place = Place::new();
    create(&place.lock());
    let flock = held("FLOCK", "exclusive", &place.lock());
    let mut posix = python("POSIX", "exclusive", &place.lock(), 10, 20);
    let mut ofd = python("OFDLCK", "shared", &place.lock(), 100, 0);
    assert_eq!((posix.line(), ofd.line()), ("held".into(), "held".into()));
    let answer = ask(&place.lock());
    let mut told = claims(&answer["holders"]);
    told.sort();
    let mut expected = [
        claim(&flock, "FLOCK", "exclusive"),
        claim(&posix, "POSIX", "exclusive"),
        claim(&ofd, "OFDLCK", "shared"),
    ];
    expected.sort();
    assert_eq!(told, expected);
    for holder in answer["holders"].as_array().unwrap() {
        let range = match holder["kind"].as_str().unwrap() {
            "POSIX" => (10.into(), 29.into()),
            "OFDLCK" => (100.into(), ().into()),
            _ => (0.into(), ().into()),
        };
        assert_eq!(
            (&holder["first_byte"], &holder["last_byte"]),
            (&range.0, &range.1)
        );
    }
    Ok(())
}

pub(crate) fn whoever_is_blocked_is_told_as_waiting() -> Tried {
    needs("python3")?;
    let place = Place::new();
    create(&place.lock());
    for kind in ["FLOCK", "OFDLCK", "POSIX"] {
        let holder = held(kind, "exclusive", &place.lock());
        let waiters = [
            python(kind, "exclusive", &place.lock(), 0, 0),
            python(kind, "shared", &place.lock(), 0, 0),
        ];
        let answer = until_waiters(&place.lock(), 2);
        assert_eq!(
            claims(&answer["holders"]),
            [claim(&holder, kind, "exclusive")]
        );
        let mut told = claims(&answer["waiters"]);
        told.sort();
        let mut expected = [
            claim(&waiters[0], kind, "exclusive"),
            claim(&waiters[1], kind, "shared"),
        ];
        if kind == "OFDLCK" {
            // The kernel lists them without their processes.
            for (pid, ..) in &mut expected {
                *pid = 0;
            }
            assert_eq!(answer["waiters"][0]["unseen"], "untold");
        }
        expected.sort();
        assert_eq!(told, expected);
    }
    Ok(())
}

pub(crate) fn a_lock_of_flock_is_that_of_all_who_inherited_it() -> Tried {
    needs("flock")?;
    let place = Place::new();
    let script = "echo inside; read line || true";
    let mut flock = Command::new("flock");
    let mut flock = Process::spawn(flock.arg(place.lock()).args(["sh", "-c", script]));
    assert_eq!(flock.line(), "inside");
    let told = holders(&place.lock());
    assert_eq!(told[0], claim(&flock, "FLOCK", "exclusive"));
    assert_eq!(told.len(), 2, "flock and its command: {told:?}");
    // The process that has taken the lock is dead, and only the other one holds it.
    let (command, ..) = told[1];
    flock.send(nix::sys::signal::Signal::SIGKILL);
    flock.ended();
    assert_eq!(
        holders(&place.lock()),
        [(command, "FLOCK".into(), "exclusive".into())]
    );
    Ok(())
}
