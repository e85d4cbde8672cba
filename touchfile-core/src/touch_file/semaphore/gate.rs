//! The backend of the gate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::touch_file::TouchFile;
use crate::{Capabilities, Guarantee, Holder, LockBackend, OpenOptions, Platform, runtime};

/// A backend that names the holders of the slots, as those of the gate are waiting themselves.
#[derive(Debug)]
pub(super) struct Gate<B> {
    backend: B,
    slots: OnceLock<Vec<PathBuf>>,
}

impl<B: LockBackend> Gate<B> {
    pub(super) fn new(backend: B) -> Self {
        Self {
            backend,
            slots: OnceLock::new(),
        }
    }

    pub(super) fn set_slots(&self, slots: &[Arc<TouchFile<B>>]) {
        let paths = slots.iter().map(|slot| slot.path().to_owned());
        self.slots.get_or_init(|| paths.collect());
    }
}

#[async_trait]
impl<B: LockBackend> LockBackend for Gate<B> {
    type Handle = B::Handle;

    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<B::Handle> {
        self.backend.open(path, options).await
    }

    async fn holders(&self, _: &Path) -> io::Result<Vec<Holder>> {
        let mut all = Vec::new();
        for slot in self.slots.get().into_iter().flatten() {
            match self.backend.holders(slot).await {
                // Who waits for a slot waits for all of them.
                Ok(holders) => all.extend(holders.into_iter().filter(|holder| !holder.waiting)),
                // Nobody has created it yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            // A deadline may pass among many slots.
            runtime::yield_once().await;
        }
        Ok(all)
    }

    fn guarantee(&self, path: &Path) -> io::Result<Guarantee> {
        self.backend.guarantee(path)
    }

    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        self.backend.open_may_block(path, options)
    }

    fn platform(&self) -> &'static dyn Platform {
        self.backend.platform()
    }
}
