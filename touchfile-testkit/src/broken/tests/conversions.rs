//! Faults in how locks change their mode.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, ConvertLock};

use super::{Setup, acquires, block_on};

#[test]
fn converts_with_flock_loses_the_shared_lock_when_an_upgrade_fails() {
    let setup = Setup::new("converts-with-flock");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Shared).await && acquires(&mut b, Shared).await);
        assert_eq!(a.try_upgrade().await.unwrap(), Attempt::WouldBlock);
        b.unlock().await.unwrap();
        assert!(acquires(&mut b, Exclusive).await);
    });
}

#[test]
fn downgrade_lets_go_for_a_moment_in_which_others_get_in() {
    let setup = Setup::new("downgrade-lets-go");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Exclusive).await);
        let thief = thread::spawn(move || {
            block_on(async {
                while !acquires(&mut b, Exclusive).await {}
                b.unlock().await.unwrap();
            });
        });
        while !thief.is_finished() {
            a.downgrade().await.unwrap();
            assert_eq!(a.try_upgrade().await.unwrap(), Attempt::Acquired);
        }
        thief.join().unwrap();
    });
}

#[test]
fn upgrade_waits_until_the_other_reader_goes() {
    let setup = Setup::new("upgrade-waits");
    block_on(async {
        let (mut a, mut b) = (setup.open().await, setup.open().await);
        assert!(acquires(&mut a, Shared).await && acquires(&mut b, Shared).await);
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            drop(b);
        });
        assert_eq!(a.try_upgrade().await.unwrap(), Attempt::Acquired);
        reader.join().unwrap();
    });
}

#[test]
fn claims_conversion_refuses_it() {
    let setup = Setup::new("claims-conversion");
    block_on(async {
        let mut a = setup.open().await;
        assert!(acquires(&mut a, Shared).await);
        let refused = a.try_upgrade().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    });
}
