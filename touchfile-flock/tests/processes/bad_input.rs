//! Bad paths: each gives a clear error, and nothing hangs, is created or leaks.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use nix::unistd::{Gid, Uid, mkfifo, setfsgid, setfsuid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::tempdir;
use touchfile_core::{Error, LockMode, TouchFile};
use touchfile_flock::FlockBackend;
use touchfile_testkit::worker;

use crate::trial;
use crate::worker::{DEADLINE, Worker, belongings, say, wait_until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("bad_paths_give_clear_errors_and_leave_nothing", bad_paths),
        trial(
            "a_read_only_file_system_gives_shared_and_exclusive_locks_but_no_new_file",
            read_only,
        ),
    ]
}

/// The paths are tried in a process of its own, because descriptors are counted and limits are set.
fn bad_paths() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let mut worker = Worker::with_role("bad input", &dir.path().join("unused"));
    loop {
        match worker.answer().as_str() {
            "done" => break,
            "" => panic!("the worker failed"),
            skipped => eprintln!("{skipped}"),
        }
    }
    worker.finish();
}

fn read_only() {
    let dir = tempdir().unwrap();
    // The mount is in a new mount namespace, and ends with the last process in it.
    let script = "mount -t tmpfs tmpfs \"$0\" && : > \"$0/there\" \
                  && mount -o remount,ro \"$0\" && echo '@touchfile mounted' && cat";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(dir.path());
    let Ok(mut shell) = worker::Worker::spawn(&mut command) else {
        eprintln!("skipped: there is no unshare(1) here");
        return;
    };
    if shell.receive(DEADLINE).is_err() {
        eprintln!("skipped: mounting is not permitted here");
        return;
    }
    // This is the path of the mount from outside of its namespace.
    let inside = PathBuf::from(format!(
        "/proc/{}/root{}",
        shell.pid(),
        dir.path().display()
    ));
    let there = touch(&inside.join("there"));
    for mode in [LockMode::Shared, LockMode::Exclusive] {
        assert!(there.blocking().try_lock(mode).unwrap().is_some());
    }
    let error = fails(&inside.join("missing"));
    assert!(matches!(error, Error::Permission { .. }), "{error}");
}

/// Whether an error is of one variant.
type Variant = fn(&Error) -> bool;

const INVALID_PATH: Variant = |error| matches!(error, Error::InvalidPath { .. });
const PERMISSION: Variant = |error| matches!(error, Error::Permission { .. });
const TRANSIENT: Variant = |error| matches!(error, Error::Transient { .. });

/// The role of the worker.
pub(crate) fn meet_all(unused: &Path) {
    let dir = unused.parent().expect("it is in a directory");
    let at = |name: &str| dir.join(name);
    // The first error is made before anything is counted, since it may open something that is kept.
    drop(fails(&at("a/missing/parent")));

    meet(dir, "a missing parent", INVALID_PATH, || {
        fails(&at("missing/a.lock"))
    });
    meet(dir, "a parent that is a file", INVALID_PATH, || {
        fs::write(at("file"), "").expect("a file");
        let error = fails(&at("file/a.lock"));
        fs::remove_file(at("file")).expect("it was there");
        error
    });
    meet(dir, "no path", INVALID_PATH, || fails(Path::new("")));
    meet(dir, "a NUL byte", INVALID_PATH, || fails(&at("a\0b")));
    meet(dir, "too long a name", INVALID_PATH, || {
        fails(&at(&"x".repeat(300)))
    });
    meet(dir, "too long a path", INVALID_PATH, || {
        fails(&at(&"d/".repeat(3000)))
    });
    meet(dir, "a directory that is not there", INVALID_PATH, || {
        fails(&at("new/"))
    });
    meet(
        dir,
        "a directory where a file is to be removed",
        INVALID_PATH,
        || {
            let builder = TouchFile::builder(FlockBackend::new())
                .path(dir)
                .remove_on_release(true);
            builder
                .build()
                .expect("it has a parent")
                .blocking()
                .lock_exclusive()
                .expect_err("refused")
        },
    );
    for mode in [0o666, 0o444] {
        meet(dir, "a FIFO", INVALID_PATH, || {
            mkfifo(&at("fifo"), nix::sys::stat::Mode::empty()).expect("a FIFO");
            fs::set_permissions(at("fifo"), Permissions::from_mode(mode)).expect("it is ours");
            // Without privileges a FIFO is opened for reading only, which would wait for a writer.
            let error = unprivileged(|| fails(&at("fifo")));
            fs::remove_file(at("fifo")).expect("it was there");
            error
        });
    }
    meet(dir, "a socket", INVALID_PATH, || {
        let socket = UnixListener::bind(at("socket")).expect("a socket");
        let error = fails(&at("socket"));
        drop(socket);
        fs::remove_file(at("socket")).expect("it was there");
        error
    });
    meet(dir, "a device", INVALID_PATH, || {
        fails(Path::new("/dev/null"))
    });
    meet(dir, "a loop of symbolic links", INVALID_PATH, || {
        with_link(&at("loop"), &at("loop"), follow)
    });
    meet(dir, "a dangling symbolic link", INVALID_PATH, || {
        with_link(&at("nowhere"), &at("link"), fails)
    });
    meet(
        dir,
        "a dangling symbolic link, followed",
        INVALID_PATH,
        || with_link(&at("nowhere"), &at("link"), follow),
    );
    meet(
        dir,
        "a file that is not to be created",
        INVALID_PATH,
        || {
            let touch = TouchFile::builder(FlockBackend::new())
                .path(at("new"))
                .create(false)
                .build();
            touch
                .expect("it has a parent")
                .blocking()
                .lock_exclusive()
                .expect_err("it is missing")
        },
    );
    meet(dir, "no permission to read", PERMISSION, || {
        fs::write(at("secret"), "").expect("a file");
        fs::set_permissions(at("secret"), Permissions::from_mode(0o000)).expect("it is ours");
        let error = unprivileged(|| fails(&at("secret")));
        fs::remove_file(at("secret")).expect("it was there");
        error
    });
    meet(dir, "no permission to create", PERMISSION, || {
        fs::create_dir(at("closed")).expect("a directory");
        fs::set_permissions(at("closed"), Permissions::from_mode(0o555)).expect("it is ours");
        let error = unprivileged(|| fails(&at("closed/new")));
        fs::remove_dir(at("closed")).expect("it is empty");
        error
    });
    meet(dir, "no descriptor left", TRANSIENT, || {
        let limit = getrlimit(Resource::Nofile);
        let spare = fs::File::open("/dev/null").expect("a descriptor");
        let none = Rlimit {
            current: Some(0),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, none).expect("limits can be lowered");
        let error = fails(&at("new"));
        setrlimit(Resource::Nofile, limit).expect("limits can be raised again");
        drop(spare);
        error
    });
    say("done");
}

/// Tries one bad path, and checks the error and that nothing is left.
fn meet(dir: &Path, what: &str, is_expected: Variant, happens: impl FnOnce() -> Error) {
    let before = (belongings(), listing(dir));
    let error = happens();
    assert!(is_expected(&error), "{what}: {error:?}");
    assert!(!error.to_string().is_empty());
    // A joined thread may still be listed for a moment.
    wait_until(&format!("{what} leaves nothing behind"), || {
        (belongings(), listing(dir)) == before
    });
}

fn touch(path: &Path) -> TouchFile<FlockBackend> {
    TouchFile::new(FlockBackend::new(), path).expect("it has a parent")
}

/// The error of making or of locking a touch file at `path`.
fn fails(path: &Path) -> Error {
    match TouchFile::new(FlockBackend::new(), path) {
        Ok(touch) => touch
            .blocking()
            .lock_exclusive()
            .expect_err("it cannot be locked"),
        Err(error) => error,
    }
}

fn follow(path: &Path) -> Error {
    let builder = TouchFile::builder(FlockBackend::new())
        .path(path)
        .follow_symlinks(true);
    let touch = builder.build().expect("it has a parent");
    touch
        .blocking()
        .lock_exclusive()
        .expect_err("it leads nowhere")
}

fn with_link<R>(target: &Path, link: &Path, work: impl FnOnce(&Path) -> R) -> R {
    symlink(target, link).expect("a link");
    let result = work(link);
    fs::remove_file(link).expect("it was there");
    result
}

/// Runs `work` in a thread without rights to files of other users. Only root has such rights.
fn unprivileged<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    const NOBODY: u32 = 65_534;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // These ids are those of this thread only (setfsuid(2)).
            setfsgid(Gid::from_raw(NOBODY));
            setfsuid(Uid::from_raw(NOBODY));
            work()
        });
        thread.join().expect("no panic")
    })
}

fn listing(dir: &Path) -> Vec<Vec<u8>> {
    let names = fs::read_dir(dir).expect("it is there");
    names
        .map(|entry| entry.expect("an entry").file_name().as_bytes().to_vec())
        .collect()
}
