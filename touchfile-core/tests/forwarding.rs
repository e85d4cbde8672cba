//! A boxed handle and a shared or boxed backend are what is inside, in every method.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{
    Attempt, BoxBackend, Capabilities, ConvertLock, Holder, LockBackend, LockHandle, LockMode,
    OpenOptions, Platform,
};

type Calls = Arc<Mutex<Vec<String>>>;

/// Writes down each call, and answers as nothing else does.
#[derive(Clone, Debug, Default)]
struct Recorder(Calls);

impl Recorder {
    fn note(&self, call: String) {
        self.0.lock().unwrap().push(call);
    }
}

#[async_trait]
impl LockBackend for Recorder {
    type Handle = Self;

    fn name(&self) -> &'static str {
        "recorder"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::NONE;
        capabilities.fair = true;
        capabilities
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self> {
        self.note(format!("open {} {}", path.display(), options.create));
        Ok(self.clone())
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        self.note(format!("holders {}", path.display()));
        Ok(vec![Holder::new(Shared)])
    }

    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        self.note(format!(
            "open_may_block {} {}",
            path.display(),
            options.create
        ));
        true
    }

    fn answers_later(&self) -> bool {
        self.note("answers_later".into());
        true
    }

    fn platform(&self) -> &'static dyn Platform {
        self.note("platform".into());
        &Here
    }
}

/// A platform that is told from the default one by its answer.
#[derive(Debug)]
struct Here;

impl Platform for Here {
    fn fork_generation(&self) -> u64 {
        7
    }
}

#[async_trait]
impl LockHandle for Recorder {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.note(format!("try_lock {mode}"));
        Ok(Attempt::WouldBlock)
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        self.note(format!("lock {mode}"));
        Ok(())
    }

    async fn try_lock_fair(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.note(format!("try_lock_fair {mode}"));
        Ok(Attempt::WouldBlock)
    }

    async fn unlock(&mut self) -> io::Result<()> {
        self.note("unlock".into());
        Ok(())
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.note(format!("is_current {}", path.display()));
        Ok(false)
    }

    async fn is_lost(&self) -> io::Result<bool> {
        self.note("is_lost".into());
        Ok(true)
    }

    async fn lost(&self, interval: Duration) -> io::Result<()> {
        self.note(format!("lost {interval:?}"));
        Ok(())
    }

    fn valid_until(&self) -> Option<Instant> {
        self.note("valid_until".into());
        Some(Instant::now())
    }

    fn token(&self) -> Option<u64> {
        self.note("token".into());
        Some(7)
    }

    fn may_block(&self) -> bool {
        self.note("may_block".into());
        true
    }

    fn queues(&self) -> bool {
        self.note("queues".into());
        true
    }

    fn drop_may_block(&self) -> bool {
        self.note("drop_may_block".into());
        true
    }

    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        self.note("convertible".into());
        Some(self)
    }
}

#[async_trait]
impl ConvertLock for Recorder {
    async fn downgrade(&mut self) -> io::Result<()> {
        self.note("downgrade".into());
        Ok(())
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        self.note("try_upgrade".into());
        Ok(Attempt::WouldBlock)
    }
}

async fn forwards_everything<B: LockBackend>(backend: B, calls: &Calls) {
    assert_eq!(backend.name(), "recorder");
    assert!(backend.capabilities().fair);
    let holders = backend.holders(Path::new("/c")).await.unwrap();
    assert_eq!(holders, [Holder::new(Shared)]);
    assert_eq!(backend.platform().fork_generation(), 7);
    assert!(backend.answers_later());
    let mut options = OpenOptions::new();
    options.create = false;
    assert!(backend.open_may_block(Path::new("/a"), &options));
    let mut handle = backend.open(Path::new("/a"), &options).await.unwrap();
    assert_eq!(handle.try_lock(Shared).await.unwrap(), Attempt::WouldBlock);
    let attempt = handle.try_lock_fair(Shared).await.unwrap();
    assert_eq!(attempt, Attempt::WouldBlock);
    // The default would wait for ever.
    let lock = tokio::time::timeout(Duration::from_secs(20), handle.lock(Exclusive));
    lock.await.unwrap().unwrap();
    handle.unlock().await.unwrap();
    assert!(!handle.is_current(Path::new("/b")).await.unwrap());
    assert!(handle.is_lost().await.unwrap());
    handle.lost(Duration::from_secs(5)).await.unwrap();
    assert!(handle.valid_until().is_some());
    assert_eq!(handle.token(), Some(7));
    assert!(handle.may_block());
    assert!(handle.queues() && handle.drop_may_block());
    let handle = handle.convertible().unwrap();
    handle.downgrade().await.unwrap();
    assert_eq!(handle.try_upgrade().await.unwrap(), Attempt::WouldBlock);
    let expected = [
        "holders /c",
        "platform",
        "answers_later",
        "open_may_block /a false",
        "open /a false",
        "try_lock shared",
        "try_lock_fair shared",
        "lock exclusive",
        "unlock",
        "is_current /b",
        "is_lost",
        "lost 5s",
        "valid_until",
        "token",
        "may_block",
        "queues",
        "drop_may_block",
        "convertible",
        "downgrade",
        "try_upgrade",
    ];
    assert_eq!(std::mem::take(&mut *calls.lock().unwrap()), expected);
}

#[tokio::test]
async fn every_pointer_forwards_every_method() {
    let backend = Recorder::default();
    let calls = backend.0.clone();
    forwards_everything(backend.clone(), &calls).await;
    forwards_everything(Arc::new(backend.clone()), &calls).await;
    forwards_everything(Box::new(backend.clone()), &calls).await;
    forwards_everything(BoxBackend::new(backend.clone()), &calls).await;
    forwards_everything(Arc::new(BoxBackend::new(backend)), &calls).await;
}
