//! Each broken backend shows what is wrong with it, without any suite.

mod conversions;
mod steps;
mod waits;

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;
use touchfile_core::LockMode::{self, Exclusive};
use touchfile_core::{Attempt, BoxBackend, LockBackend, LockHandle, OpenOptions};

use super::{Broken, all};

/// A broken backend and a directory for its lock files.
struct Setup {
    dir: TempDir,
    broken: Broken,
    backend: BoxBackend,
}

type Handle = Box<dyn LockHandle>;

impl Setup {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broken = all().into_iter().find(|broken| broken.name == name);
        let broken = broken.unwrap_or_else(|| panic!("no backend is called {name}"));
        let backend = (broken.make)(dir.path());
        Self {
            dir,
            broken,
            backend,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("a.lock")
    }

    async fn open(&self) -> Handle {
        self.open_with(&OpenOptions::new()).await
    }

    async fn open_with(&self, options: &OpenOptions) -> Handle {
        self.backend.open(&self.path(), options).await.unwrap()
    }

    /// A handle in what stands for another process.
    async fn open_elsewhere(&self) -> Handle {
        let other = (self.broken.make)(self.dir.path());
        let path = self.path();
        other.open(&path, &OpenOptions::new()).await.unwrap()
    }
}

async fn acquires(handle: &mut Handle, mode: LockMode) -> bool {
    handle.try_lock(mode).await.unwrap() == Attempt::Acquired
}

async fn fails_with(handle: &mut Handle, mode: LockMode) -> Option<io::ErrorKind> {
    handle.try_lock(mode).await.err().map(|error| error.kind())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn there_are_many_and_each_has_a_name_of_its_own() {
    let names: HashSet<_> = all().iter().map(|broken| broken.name).collect();
    assert!(names.len() >= 20, "only {}", names.len());
    assert_eq!(names.len(), all().len());
    for broken in all() {
        assert_eq!(Setup::new(broken.name).backend.name(), broken.name);
        assert!(broken.what.ends_with('.'), "{}", broken.what);
    }
}

#[test]
fn none_is_so_broken_that_it_cannot_lock_and_unlock() {
    for broken in all() {
        let faulty = ["spurious-busy", "unlock-keeps", "drop-keeps"];
        if faulty.contains(&broken.name) {
            continue;
        }
        let setup = Setup::new(broken.name);
        block_on(async {
            let mut a = setup.open().await;
            assert!(acquires(&mut a, Exclusive).await, "{}", broken.name);
            a.unlock().await.unwrap();
            drop(a);
            let mut b = setup.open_elsewhere().await;
            assert!(acquires(&mut b, Exclusive).await, "{}", broken.name);
        });
    }
}
