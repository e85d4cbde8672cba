//! The backend of those who do not name one.

use touchfile_core::ProvidesDefault;

use crate::AutoBackend;

/// The backend of those who do not name one: the right one for each file's file system.
pub type DefaultBackend = AutoBackend;

/// [`touchfile_core::TouchFile`], with a default for its backend: the type `TouchFile` locks with
/// the [`DefaultBackend`], `TouchFile<B>` with any other.
pub type TouchFile<B = DefaultBackend> = touchfile_core::TouchFile<B>;

/// [`touchfile_core::LockGuard`], with a default for its backend.
pub type LockGuard<'a, B = DefaultBackend> = touchfile_core::LockGuard<'a, B>;

/// [`touchfile_core::OwnedLockGuard`], with a default for its backend.
pub type OwnedLockGuard<B = DefaultBackend> = touchfile_core::OwnedLockGuard<B>;

/// [`touchfile_core::BlockingLockGuard`], with a default for its backend.
pub type BlockingLockGuard<'a, B = DefaultBackend> = touchfile_core::BlockingLockGuard<'a, B>;

/// [`touchfile_core::OwnedBlockingLockGuard`], with a default for its backend.
pub type OwnedBlockingLockGuard<B = DefaultBackend> = touchfile_core::OwnedBlockingLockGuard<B>;

/// [`touchfile_core::LockSet`], with a default for its backend.
pub type LockSet<B = DefaultBackend> = touchfile_core::LockSet<B>;

/// [`touchfile_core::LockSetGuard`], with a default for its backend.
pub type LockSetGuard<B = DefaultBackend> = touchfile_core::LockSetGuard<B>;

/// [`touchfile_core::BlockingLockSetGuard`], with a default for its backend.
pub type BlockingLockSetGuard<B = DefaultBackend> = touchfile_core::BlockingLockSetGuard<B>;

/// [`touchfile_core::Semaphore`], with a default for its backend.
pub type Semaphore<B = DefaultBackend> = touchfile_core::Semaphore<B>;

/// [`touchfile_core::BlockingSemaphore`], with a default for its backend.
pub type BlockingSemaphore<'a, B = DefaultBackend> = touchfile_core::BlockingSemaphore<'a, B>;

/// What makes [`TouchFile::open`] mean the [`DefaultBackend`].
impl ProvidesDefault<DefaultBackend> for () {
    fn default_backend() -> DefaultBackend {
        DefaultBackend::new()
    }
}
