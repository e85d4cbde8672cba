//! Backends whose locks are on names and not on files.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use touchfile_core::LockMode::Exclusive;
use touchfile_core::{BoxBackend, Error, TouchFile};
use touchfile_mock::{MockBackend, World};

fn backend(world: &World, process: &str) -> MockBackend {
    world.process(process).without_files()
}

#[test]
fn the_text_given_is_the_name_and_no_directory_is_asked() {
    let world = World::new();
    for name in ["jobs/report", "/no/such/directory/a", "..", "C:\\a", "a/"] {
        let touch = TouchFile::new(backend(&world, "a"), name).unwrap();
        assert_eq!(touch.path().as_os_str(), name);
        let boxed = TouchFile::new(BoxBackend::new(backend(&world, "b")), name).unwrap();
        assert_eq!(boxed.path().as_os_str(), name);
        let guard = touch.blocking().lock_exclusive().unwrap();
        assert!(boxed.blocking().try_lock(Exclusive).unwrap().is_none());
        assert_eq!(guard.path().as_os_str(), name);
        guard.verify().unwrap();
        guard.unlock().unwrap();
    }
    let empty = TouchFile::new(backend(&world, "a"), "").unwrap_err();
    assert!(matches!(empty, Error::InvalidPath { .. }), "{empty:?}");
}

#[test]
fn a_temporary_name_is_random_and_leaves_nothing_to_remove() {
    let world = World::new();
    let temporary = |process| TouchFile::temporary(backend(&world, process)).unwrap();
    let (one, other) = (temporary("a"), temporary("a"));
    assert_ne!(one.path(), other.path());
    assert_eq!(one.path().parent(), Some(Path::new("")));
    let _both = [
        one.blocking().lock_exclusive(),
        other.blocking().lock_exclusive(),
    ];
    assert_eq!(world.holders(one.path()), [("a", Exclusive)]);
}

#[test]
fn what_is_about_files_is_refused() {
    let world = World::new();
    let builder = || TouchFile::builder(backend(&world, "a")).path("a");
    for refused in [
        builder().remove_on_release(true).build(),
        builder().verify(true).build(),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    }
    let touch = builder().build().unwrap();
    let guard = touch.blocking().lock_exclusive().unwrap();
    assert!(matches!(guard.file(), Err(Error::Unsupported { .. })));
}
