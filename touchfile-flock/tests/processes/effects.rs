//! The effects of locking on the file.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::{TempDir, tempdir};
use touchfile_core::{LockMode, TouchFile};
use touchfile_flock::FlockBackend;

use crate::trial;
use crate::worker::{Worker, wait_until};

pub(crate) fn trials() -> Vec<Trial> {
    let overlay = Overlay::new();
    let no_overlay = overlay.is_none();
    vec![
        trial("a_script_that_is_its_own_lock_can_be_run", script),
        trial("no_lock_ends_in_the_close_of_a_written_file", events),
        trial("who_asks_to_write_can_write_to_the_file", written),
        trial(
            "a_file_of_a_lower_layer_is_locked_and_not_copied",
            not_copied,
        )
        .with_ignored_flag(no_overlay)
        .with_kind(if no_overlay {
            "skipped, no overlayfs"
        } else {
            ""
        }),
        trial(
            "a_lock_stays_current_when_its_file_is_copied_to_the_upper_layer",
            copied_later,
        )
        .with_ignored_flag(no_overlay)
        .with_kind(if no_overlay {
            "skipped, no overlayfs"
        } else {
            ""
        }),
    ]
}

fn script() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("job.sh");
    fs::write(&path, "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    // A child of another test may have a copy of the descriptor with which the file was written.
    wait_until("it can be run", || run(&path).is_ok());

    let mut holder = Worker::new(&path);
    assert_eq!(holder.ask("lock exclusive"), "held");
    assert_eq!(run(&path).unwrap(), Some(7), "while it is locked");
    let mut waiter = Worker::new(&path);
    waiter.send("lock exclusive");
    wait_until("it waits", || waiter.is_in_queue());
    assert_eq!(run(&path).unwrap(), Some(7), "while it is waited for");
    assert_eq!(holder.ask("unlock"), "released");
    assert_eq!(waiter.answer(), "held");
    assert_eq!(run(&path).unwrap(), Some(7), "while an idle handle is kept");
}

fn run(path: &Path) -> io::Result<Option<i32>> {
    Ok(Command::new(path).status()?.code())
}

fn events() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&inotify, dir.path(), WatchFlags::CLOSE).unwrap();
    for mode in [LockMode::Exclusive, LockMode::Shared] {
        // The first lock creates the file.
        let touch = TouchFile::new(FlockBackend::new(), &path).unwrap();
        let guard = touch.blocking().lock(mode).unwrap();
        drop(guard);
        drop(touch);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&inotify, &mut buffer);
        let mut closes = Vec::new();
        while let Ok(event) = reader.next() {
            closes.push(event.events());
        }
        let unwritten = |close: &ReadFlags| *close == ReadFlags::CLOSE_NOWRITE;
        assert!(
            !closes.is_empty() && closes.iter().all(unwritten),
            "{closes:?}"
        );
    }
}

fn written() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    for write in [false, true] {
        let touch = TouchFile::builder(FlockBackend::new())
            .path(&path)
            .write(write);
        let touch = touch.build().unwrap();
        let guard = touch.blocking().lock_exclusive().unwrap();
        let mut file = guard.handle().unwrap().file();
        assert_eq!(file.write_all(b"mine").is_ok(), write);
    }
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

/// An overlayfs whose lower layer has the file `a.lock`. It is unmounted when this is dropped.
struct Overlay(TempDir);

impl Overlay {
    /// `None` if mounting is not permitted.
    fn new() -> Option<Self> {
        let none = MountFlags::empty();
        let overlay = Self(tempdir().unwrap());
        let layers = overlay.0.path().join("layers");
        fs::create_dir(&layers).unwrap();
        // A layer cannot be on an overlayfs, which the temporary directory of a container often is.
        mount("tmpfs", &layers, "tmpfs", none, None).ok()?;
        for layer in ["lower", "upper", "work"] {
            fs::create_dir(layers.join(layer)).unwrap();
        }
        fs::write(layers.join("lower/a.lock"), "precious").unwrap();
        let merged = overlay.0.path().join("merged");
        fs::create_dir(&merged).unwrap();
        let layers = layers.display();
        let options =
            format!("lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work");
        let options = CString::new(options).unwrap();
        mount("overlay", merged, "overlay", none, options.as_c_str()).ok()?;
        Some(overlay)
    }

    fn lock_file(&self) -> PathBuf {
        self.0.path().join("merged/a.lock")
    }

    fn is_copied(&self) -> bool {
        self.0.path().join("layers/upper/a.lock").exists()
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for directory in ["merged", "layers"] {
            // It may not have been mounted.
            unmount(self.0.path().join(directory), UnmountFlags::DETACH).ok();
        }
    }
}

fn not_copied() {
    let overlay = Overlay::new().unwrap();
    let path = overlay.lock_file();
    for mode in [LockMode::Shared, LockMode::Exclusive] {
        let touch = TouchFile::new(FlockBackend::new(), &path).unwrap();
        let guard = touch.blocking().lock(mode).unwrap();
        let mut other = Worker::new(&path);
        assert_eq!(other.ask("try exclusive"), "busy");
        drop(guard);
        assert!(!overlay.is_copied(), "{mode}");
    }
}

fn copied_later() {
    let overlay = Overlay::new().unwrap();
    let path = overlay.lock_file();
    let touch = TouchFile::new(FlockBackend::new(), &path).unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    File::options().append(true).open(&path).unwrap();
    assert!(overlay.is_copied());
    guard.verify().unwrap();
    let mut other = Worker::new(&path);
    assert_eq!(other.ask("try exclusive"), "busy");
    drop(guard);
    assert_eq!(other.ask("try exclusive"), "held");
}
