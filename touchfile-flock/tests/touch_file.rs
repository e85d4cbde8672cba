//! `TouchFile` with real files: paths, temporary files and removal.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;

use async_trait::async_trait;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{
    BoxBackend, Capabilities, Error, LockBackend, OpenOptions, Platform, TouchFile,
};
use touchfile_flock::{FlockBackend, FlockHandle};

/// A backend that does not claim `identity`.
#[derive(Debug)]
struct WithoutIdentity(FlockBackend);

#[async_trait]
impl LockBackend for WithoutIdentity {
    type Handle = FlockHandle;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.identity = false;
        capabilities
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<FlockHandle> {
        self.0.open(path, options).await
    }

    fn platform(&self) -> &'static dyn Platform {
        self.0.platform()
    }
}

#[test]
fn a_file_that_is_removed_on_release_is_always_verified() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = TouchFile::builder(FlockBackend::new())
        .path(&path)
        .remove_on_release(true)
        .verify(false)
        .build()
        .unwrap();
    drop(touch.blocking().lock_exclusive().unwrap());
    let orphan = TouchFile::new(FlockBackend::new(), &path).unwrap();
    let _orphan = orphan.blocking().lock_exclusive().unwrap();
    std::fs::remove_file(&path).unwrap();
    let _guard = touch.blocking().try_lock(Exclusive).unwrap().unwrap();
    assert!(path.exists());
}

#[test]
fn a_temporary_file_has_the_mode_that_was_asked_for_and_stays_private_if_made_anew() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |touch: &TouchFile<FlockBackend>| {
        let metadata = touch.path().metadata().unwrap();
        metadata.permissions().mode() & 0o777
    };
    let builder = TouchFile::builder(FlockBackend::new()).create_mode(0o660);
    assert_eq!(mode(&builder.build().unwrap()), 0o660);

    let touch = TouchFile::temporary(FlockBackend::new()).unwrap();
    assert_eq!(mode(&touch), 0o600);
    std::fs::remove_file(touch.path()).unwrap();
    let _guard = touch.blocking().lock_exclusive().unwrap();
    assert_eq!(mode(&touch), 0o600);
}

#[test]
fn a_temporary_file_that_is_refused_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let builder = TouchFile::builder(WithoutIdentity(FlockBackend::new()))
        .temporary_in(dir.path())
        .verify(true);
    assert!(matches!(
        builder.build().unwrap_err(),
        Error::Unsupported { .. }
    ));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    let missing = dir.path().join("missing");
    let builder = TouchFile::builder(FlockBackend::new()).temporary_in(missing);
    assert!(matches!(
        builder.build().unwrap_err(),
        Error::InvalidPath { .. }
    ));
}

#[test]
fn a_slash_at_the_end_follows_no_link() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link/");
    std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
    let refused = TouchFile::new(FlockBackend::new(), link).unwrap_err();
    assert!(matches!(refused, Error::InvalidPath { .. }), "{refused:?}");
    let directory = format!("{}/", dir.path().display());
    let touch = TouchFile::new(FlockBackend::new(), directory).unwrap();
    assert_eq!(touch.path(), dir.path());
    drop(touch.blocking().lock_exclusive().unwrap());
}

#[tokio::test]
async fn a_backend_chosen_at_run_time_that_cannot_convert_refuses_and_keeps_its_lock() {
    let touch = TouchFile::temporary(BoxBackend::new(FlockBackend::new())).unwrap();
    let mut guard = touch.lock_exclusive().await.unwrap();
    let error = guard.downgrade().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert_eq!(guard.mode(), Exclusive);
    assert!(touch.try_lock(Shared).await.unwrap().is_none());
}

#[test]
fn a_relative_path_starts_at_the_current_directory() {
    let touch = TouchFile::new(FlockBackend::new(), "a.lock").unwrap();
    assert_eq!(
        touch.path(),
        std::env::current_dir().unwrap().join("a.lock")
    );
}

#[test]
fn paths_that_can_be_seen_to_be_bad_are_refused_when_the_touch_file_is_made() {
    for bad in ["", "a\0b"] {
        let error = TouchFile::new(FlockBackend::new(), bad).unwrap_err();
        assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
    }
}
