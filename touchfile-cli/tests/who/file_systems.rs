//! File systems on which stat(2) reports other numbers than the list of locks of the kernel.

use crate::mounts::{self, Mounted};
use crate::trials::{Tried, needs};
use crate::who::{claim, create, held, holders};

fn every_kind_is_found_on(mounted: &Mounted) -> Tried {
    needs("python3")?;
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
    Ok(())
}

pub(crate) fn holders_are_found_on_btrfs_and_its_subvolumes() -> Tried {
    every_kind_is_found_on(&mounts::btrfs()?)
}

pub(crate) fn holders_are_found_on_ext4() -> Tried {
    every_kind_is_found_on(&mounts::ext4()?)
}

pub(crate) fn holders_are_found_on_overlayfs_in_each_layer() -> Tried {
    every_kind_is_found_on(&mounts::overlay()?)
}

pub(crate) fn holders_are_found_on_tmpfs() -> Tried {
    every_kind_is_found_on(&mounts::tmpfs()?)
}

pub(crate) fn holders_are_found_on_xfs() -> Tried {
    every_kind_is_found_on(&mounts::xfs()?)
}
