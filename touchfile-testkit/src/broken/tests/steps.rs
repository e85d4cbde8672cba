//! Faults that a few calls, one after the other, show.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::flock::FlockBackend;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, LockBackend, LockHandle, OpenOptions};

use super::{Setup, acquires, block_on, fails_with};

/// Whether a second handle acquires beside the first.
fn both_acquire(name: &str, elsewhere: bool) -> bool {
    let setup = Setup::new(name);
    block_on(async {
        let mut a = setup.open().await;
        let mut b = if elsewhere {
            setup.open_elsewhere().await
        } else {
            setup.open().await
        };
        assert!(acquires(&mut a, Exclusive).await);
        acquires(&mut b, Exclusive).await
    })
}

#[test]
fn no_op_and_exclusive_is_shared_let_everybody_in() {
    for name in ["no-op", "exclusive-is-shared"] {
        assert!(
            both_acquire(name, false) && both_acquire(name, true),
            "{name}"
        );
    }
}

#[test]
fn in_process_only_lets_in_another_process() {
    assert!(!both_acquire("in-process-only", false));
    assert!(both_acquire("in-process-only", true));
}

#[test]
fn whole_process_and_one_lock_for_all_handles_let_in_another_handle() {
    assert!(both_acquire("whole-process", false));
    assert!(both_acquire("one-lock-for-all-handles", false));
    assert!(!both_acquire("one-lock-for-all-handles", true));
}

#[test]
fn unlocks_others_takes_the_lock_from_a_second_holder() {
    let setup = Setup::new("unlocks-others");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Shared).await && acquires(&mut b, Shared).await);
        a.unlock().await.unwrap();
        assert!(acquires(&mut a, Exclusive).await);
    });
}

#[test]
fn upgrade_drops_shared_when_it_fails() {
    let setup = Setup::new("upgrade-drops-shared");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Shared).await && acquires(&mut b, Shared).await);
        assert!(!acquires(&mut a, Exclusive).await);
        b.unlock().await.unwrap();
        assert!(acquires(&mut b, Exclusive).await);
    });
}

#[test]
fn double_grant_grants_twice_sooner_or_later() {
    let setup = Setup::new("double-grant");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        let mut attempts = 1;
        while !acquires(&mut b, Exclusive).await {
            attempts += 1;
            assert!(attempts < 100_000);
        }
    });
}

#[test]
fn shared_is_exclusive_keeps_a_reader_out() {
    let setup = Setup::new("shared-is-exclusive");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Shared).await);
        assert!(!acquires(&mut b, Shared).await);
    });
}

#[test]
fn one_lock_for_all_files_keeps_out_who_wants_another_file() {
    let setup = Setup::new("one-lock-for-all-files");
    block_on(async {
        let mut a = setup.open().await;
        let path = setup.dir.path().join("b.lock");
        let mut b = setup
            .backend
            .open(&path, &OpenOptions::new())
            .await
            .unwrap();
        assert!(acquires(&mut a, Exclusive).await);
        assert!(!acquires(&mut b, Exclusive).await);
    });
}

#[test]
fn interrupted_and_spurious_busy_find_a_free_lock_held() {
    for name in ["interrupted-is-busy", "spurious-busy"] {
        let setup = Setup::new(name);
        block_on(async {
            let mut a = setup.open().await;
            let mut attempts = 1;
            while acquires(&mut a, Exclusive).await {
                a.unlock().await.unwrap();
                attempts += 1;
                assert!(attempts < 100_000, "{name}");
            }
        });
    }
}

#[test]
fn unlock_keeps_until_the_handle_is_dropped() {
    let setup = Setup::new("unlock-keeps");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        a.unlock().await.unwrap();
        assert!(!acquires(&mut b, Exclusive).await);
        drop(a);
        assert!(acquires(&mut b, Exclusive).await);
    });
}

#[test]
fn drop_keeps_the_lock_for_ever_but_unlock_releases() {
    let setup = Setup::new("drop-keeps");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        a.unlock().await.unwrap();
        assert!(acquires(&mut b, Exclusive).await);
        drop(b);
        assert!(!acquires(&mut a, Exclusive).await);
    });
}

#[test]
fn kept_after_kill_keeps_the_lock_of_one_who_is_gone() {
    let setup = Setup::new("kept-after-kill");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open_elsewhere().await);
        assert!(acquires(&mut a, Exclusive).await);
        std::mem::forget(a); // as SIGKILL does: nothing is run
        assert!(!acquires(&mut b, Exclusive).await);
    });
}

#[test]
fn drop_needs_a_runtime_and_panics_without() {
    let setup = Setup::new("drop-needs-a-runtime");
    block_on(async { drop(setup.open().await) });
    let handle = block_on(setup.open());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(handle))).is_err());
}

#[test]
fn ignores_replacement_and_never_current_tell_untruths() {
    for (name, before, after) in [
        ("ignores-replacement", true, true),
        ("never-current", false, false),
    ] {
        let setup = Setup::new(name);
        block_on(async {
            let handle = setup.open().await;
            let path = setup.path();
            assert_eq!(handle.is_current(&path).await.unwrap(), before);
            fs::remove_file(&path).unwrap();
            assert_eq!(handle.is_current(&path).await.unwrap(), after);
        });
    }
}

#[test]
fn removes_too_late_removes_the_file_of_another_holder() {
    let setup = Setup::new("removes-too-late");
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    block_on(async {
        let mut a = setup.open_with(&options).await;
        let mut b = setup.open_with(&options).await;
        assert!(acquires(&mut a, Shared).await && acquires(&mut b, Shared).await);
        a.unlock().await.unwrap();
        assert!(!setup.path().exists());
    });
}

#[test]
fn contention_and_interruption_are_errors() {
    use std::io::ErrorKind::{Interrupted, WouldBlock};

    let setup = Setup::new("contention-is-an-error");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        assert_eq!(fails_with(&mut b, Exclusive).await, Some(WouldBlock));
    });
    let setup = Setup::new("interrupted-is-an-error");
    block_on(async {
        let mut a = setup.open().await;
        assert!(acquires(&mut a, Exclusive).await);
        a.unlock().await.unwrap();
        assert_eq!(fails_with(&mut a, Exclusive).await, Some(Interrupted));
    });
}

#[test]
fn claims_about_shared_locks_are_false() {
    use std::io::ErrorKind::Unsupported;

    block_on(async {
        let setup = Setup::new("claims-shared");
        assert!(setup.backend.capabilities().shared);
        let refused = fails_with(&mut setup.open().await, Shared).await;
        assert_eq!(refused, Some(Unsupported));

        let setup = Setup::new("hides-shared");
        assert!(!setup.backend.capabilities().shared);
        assert!(acquires(&mut setup.open().await, Shared).await);

        let setup = Setup::new("refuses-and-takes");
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert_eq!(fails_with(&mut a, Shared).await, Some(Unsupported));
        assert!(!acquires(&mut b, Exclusive).await);
    });
}

#[test]
fn claims_fcntl_lets_in_who_uses_it() {
    let setup = Setup::new("claims-fcntl");
    assert!(setup.backend.capabilities().excludes_fcntl);
    let fcntl = Setup::new("whole-process");
    block_on(async {
        let (mut a, path) = (setup.open().await, setup.path());
        let mut b = fcntl
            .backend
            .open(&path, &OpenOptions::new())
            .await
            .unwrap();
        assert!(acquires(&mut a, Exclusive).await);
        assert!(acquires(&mut b, Exclusive).await);
    });
}

#[test]
fn ignores_remove_on_release_leaves_the_file() {
    let setup = Setup::new("ignores-remove-on-release");
    let mut options = OpenOptions::new();
    options.remove_on_release = true;
    block_on(async {
        let mut handle = setup.open_with(&options).await;
        assert!(acquires(&mut handle, Exclusive).await);
        handle.unlock().await.unwrap();
        assert!(setup.path().exists());
    });
}

#[test]
fn what_they_are_made_of_is_honest() {
    // Wrong in its claims only: for the rest it excludes, and is excluded by, the flock backend.
    let setup = Setup::new("hides-shared");
    block_on(async {
        let mut a = setup.open().await;
        let path = setup.path();
        let mut b = FlockBackend.open(&path, &OpenOptions::new()).await.unwrap();
        assert!(acquires(&mut a, Shared).await);
        assert_eq!(b.try_lock(Shared).await.unwrap(), Attempt::Acquired);
        assert_eq!(b.unlock().await.ok(), Some(()));
        assert_eq!(b.try_lock(Exclusive).await.unwrap(), Attempt::WouldBlock);
        drop(a);
        assert_eq!(b.try_lock(Exclusive).await.unwrap(), Attempt::Acquired);
    });
}
