//! Removing a lock file on release, where another user owns a directory on the way to it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};
use touchfile_core::{LockMode, TouchFile};
use touchfile_flock::FlockBackend;

use super::attack::{Attack, NOBODY};
use super::touch_at;

/// How long the attack has.
const TIME: Duration = Duration::from_secs(4);

/// A directory of the attacker's, with the directory `real` and the link `link` in it, which leads to a
/// directory of root's.
struct Scene {
    _root: TempDir,
    theirs: PathBuf,
    /// What is looked at by way of the link, and never locked by way of it.
    protected: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let root = tempdir().unwrap();
        let at = |name: &str| {
            let directory = root.path().join(name);
            fs::create_dir(&directory).unwrap();
            directory
        };
        let (theirs, ours) = (at("theirs"), at("ours"));
        for directory in [root.path(), &theirs, &ours] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(theirs.join("real")).unwrap();
        symlink(&ours, theirs.join("link")).unwrap();
        chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
        let protected = ours.join("a.lock");
        fs::write(&protected, "precious").unwrap();
        Self {
            _root: root,
            theirs,
            protected,
        }
    }

    /// Uses the lock file in `real`, until what is protected is gone or the time is over. Returns how
    /// often, and whether it is gone.
    fn play(&self, mut lock_and_remove: impl FnMut(&Path)) -> (u32, bool) {
        // Whoever finds the link in place of the directory finds this lock held.
        let held = touch_at(&self.protected);
        let held = held.blocking().lock_exclusive().unwrap();
        let _attack = Attack::start("exchange", self.theirs.to_str().unwrap());
        let started = Instant::now();
        let (path, mut times) = (self.theirs.join("real/a.lock"), 0);
        while started.elapsed() < TIME && self.protected.exists() {
            lock_and_remove(&path);
            times += 1;
        }
        let gone = !self.protected.exists();
        drop(held);
        (times, gone)
    }
}

/// Before, both steps went by the whole path, as they do in the control.
pub(crate) fn exchanged_directory() {
    let (times, gone) = Scene::new().play(|path| {
        // What is missing or held is of no interest.
        by_whole_path(path).ok();
    });
    eprintln!("by the whole path: removed what was not locked: {gone}, after {times} releases");
    assert!(gone, "the control is no attack");
    let scene = Scene::new();
    let touch = TouchFile::builder(FlockBackend::new())
        .path(scene.theirs.join("real/a.lock"))
        .remove_on_release(true)
        .build()
        .unwrap();
    let mut locked = 0;
    let (times, gone) = scene.play(|_| {
        let held = touch.blocking().try_lock(LockMode::Exclusive);
        if let Ok(Some(guard)) = held {
            locked += 1;
            guard.unlock().ok();
        }
    });
    eprintln!("touchfile: removed: {gone}, after {locked} releases in {times} attempts");
    assert!(locked > 0 && !gone);
}

/// A link in the place of a directory needs no race: whoever opens the file creates it where the link
/// leads, unless links are refused.
pub(crate) fn planted_link() {
    let lock = |no_symlinks: bool| {
        let scene = Scene::new();
        let touch = TouchFile::builder(FlockBackend::new())
            .path(scene.theirs.join("link/planted.lock"))
            .no_symlinks(no_symlinks)
            .build()
            .unwrap();
        let locked = touch.blocking().lock_exclusive().is_ok();
        (
            locked,
            scene.protected.with_file_name("planted.lock").exists(),
        )
    };
    eprintln!(
        "(locked, created behind the link): {:?}; no_symlinks: {:?}",
        lock(false),
        lock(true)
    );
    assert_eq!(lock(false), (true, true), "the control is no attack");
    assert_eq!(lock(true), (false, false));

    // And while the directory and the link change places.
    let race = |no_symlinks: bool| {
        let scene = Scene::new();
        let _attack = Attack::start("exchange", scene.theirs.to_str().unwrap());
        let planted = scene.protected.with_file_name("planted.lock");
        let started = Instant::now();
        let (mut locked, mut created) = (0, 0);
        while started.elapsed() < TIME / 2 {
            let touch = TouchFile::builder(FlockBackend::new())
                .path(scene.theirs.join("real/planted.lock"))
                .remove_on_release(true)
                .no_symlinks(no_symlinks)
                .build()
                .unwrap();
            let guard = touch.blocking().lock_timeout(LockMode::Exclusive, TIME);
            locked += u32::from(guard.is_ok());
            created += u32::from(planted.exists());
            drop(guard);
        }
        (locked, created)
    };
    let (control, refused) = (race(false), race(true));
    eprintln!("(locked, created behind the link) in a race: {control:?}; no_symlinks: {refused:?}");
    assert!(control.1 > 0, "the control is no attack");
    assert!(refused.0 > 0 && refused.1 == 0);
}

/// Locks it, and removes it if the path still names it.
fn by_whole_path(path: &Path) -> io::Result<()> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if fs4::FileExt::try_lock(&file).is_ok() {
        let (is, locked) = (fs::symlink_metadata(path)?, file.metadata()?);
        if (is.dev(), is.ino()) == (locked.dev(), locked.ino()) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
