//! Where the numbers that stat(2) has for a file are not those of the kernel's list of locks.

use crate::mounts::{self, Mounted};
use crate::support::installed;
use crate::who::{claim, create, held, holders};

fn every_kind_is_found_on(mounted: Option<Mounted>) {
    let Some(mounted) = mounted else {
        return; // it has said that it is skipped, and why
    };
    if !installed("python3") {
        return;
    }
    for directory in mounted.places() {
        let (lock, other) = (directory.join("a.lock"), directory.join("b.lock"));
        if !lock.exists() {
            create(&lock);
        }
        create(&other);
        for kind in ["FLOCK", "OFDLCK", "POSIX"] {
            let holder = held(kind, "exclusive", &lock);
            let told = holders(&lock);
            assert_eq!(
                told,
                [claim(&holder, kind, "exclusive")],
                "{mounted:?} {kind}"
            );
            assert!(holders(&other).is_empty());
        }
        assert!(holders(&lock).is_empty());
    }
}

#[test]
fn holders_are_found_on_btrfs_and_its_subvolumes() {
    every_kind_is_found_on(mounts::btrfs());
}

#[test]
fn holders_are_found_on_ext4() {
    every_kind_is_found_on(mounts::ext4());
}

#[test]
fn holders_are_found_on_overlayfs_in_each_layer() {
    every_kind_is_found_on(mounts::overlay());
}

#[test]
fn holders_are_found_on_tmpfs() {
    every_kind_is_found_on(mounts::tmpfs());
}

#[test]
fn holders_are_found_on_xfs() {
    every_kind_is_found_on(mounts::xfs());
}
