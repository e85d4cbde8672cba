//! Choosing the backend at run time.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Capabilities, Guarantee, Holder, LockBackend, LockHandle, OpenFile, OpenOptions, Platform,
};

/// Any backend behind one type, so that `TouchFile<BoxBackend>` chooses at run time.
///
/// Clones share the backend. Each call costs one dynamic dispatch and each `open` one more
/// allocation; locking and unlocking allocate no more than the backend itself does.
///
/// # Examples
///
/// ```
/// use touchfile_core::{BoxBackend, TouchFile};
/// use touchfile_mock::World;
///
/// # fn in_tests() -> bool { true }
/// let backend = if in_tests() {
///     BoxBackend::new(World::new().process("a"))
/// } else {
///     unreachable!("here a real one: touchfile_flock::FlockBackend")
/// };
/// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
/// let guard = touch.blocking().lock_exclusive()?;
/// # drop(guard);
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Clone)]
pub struct BoxBackend(Arc<dyn ErasedBackend>);

impl BoxBackend {
    /// Erases the type of `backend`.
    pub fn new<B: LockBackend>(backend: B) -> Self {
        Self(Arc::new(backend))
    }
}

#[async_trait]
impl LockBackend for BoxBackend {
    type Handle = Box<dyn LockHandle>;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        self.0.open_erased(path, options).await
    }

    fn adopt(&self, file: &OpenFile) -> io::Result<Self::Handle> {
        self.0.adopt_erased(file)
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        self.0.holders(path).await
    }

    fn guarantee(&self, path: &Path) -> io::Result<Guarantee> {
        self.0.guarantee(path)
    }

    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        self.0.open_may_block(path, options)
    }

    fn answers_later(&self) -> bool {
        self.0.answers_later()
    }

    fn platform(&self) -> &'static dyn Platform {
        self.0.platform()
    }
}

impl fmt::Debug for BoxBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BoxBackend").field(&self.0).finish()
    }
}

/// [`LockBackend`] without its associated type.
#[async_trait]
trait ErasedBackend: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn capabilities(&self) -> Capabilities;
    async fn open_erased(
        &self,
        path: &Path,
        options: &OpenOptions,
    ) -> io::Result<Box<dyn LockHandle>>;
    fn adopt_erased(&self, file: &OpenFile) -> io::Result<Box<dyn LockHandle>>;
    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>>;
    fn guarantee(&self, path: &Path) -> io::Result<Guarantee>;
    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool;
    fn answers_later(&self) -> bool;
    fn platform(&self) -> &'static dyn Platform;
}

#[async_trait]
impl<B: LockBackend> ErasedBackend for B {
    fn name(&self) -> &'static str {
        LockBackend::name(self)
    }

    fn capabilities(&self) -> Capabilities {
        LockBackend::capabilities(self)
    }

    async fn open_erased(
        &self,
        path: &Path,
        options: &OpenOptions,
    ) -> io::Result<Box<dyn LockHandle>> {
        Ok(Box::new(self.open(path, options).await?))
    }

    fn adopt_erased(&self, file: &OpenFile) -> io::Result<Box<dyn LockHandle>> {
        Ok(Box::new(self.adopt(file)?))
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        LockBackend::holders(self, path).await
    }

    fn guarantee(&self, path: &Path) -> io::Result<Guarantee> {
        LockBackend::guarantee(self, path)
    }

    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        LockBackend::open_may_block(self, path, options)
    }

    fn answers_later(&self) -> bool {
        LockBackend::answers_later(self)
    }

    fn platform(&self) -> &'static dyn Platform {
        LockBackend::platform(self)
    }
}
