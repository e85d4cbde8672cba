//! There is one way of locking on Windows.

use std::io;
use std::path::Path;

use touchfile_core::{Guarantee, Holder, LockBackend, OpenFile, OpenOptions};
use touchfile_lockfileex::{LockFileEx, LockFileExBackend, LockFileExHandle};

/// A file open for LockFileEx.
pub type AutoHandle = LockFileExHandle;

/// LockFileEx.
pub type AutoLock = LockFileEx;

const BACKEND: LockFileExBackend = LockFileExBackend::new();

pub(super) async fn open(path: &Path, options: &OpenOptions) -> io::Result<AutoHandle> {
    BACKEND.open(path, options).await
}

pub(super) fn adopt(file: &OpenFile) -> io::Result<AutoHandle> {
    BACKEND.adopt(file)
}

pub(super) async fn holders(path: &Path) -> io::Result<Vec<Holder>> {
    BACKEND.holders(path).await
}

pub(super) fn guarantee(path: &Path) -> io::Result<Guarantee> {
    BACKEND.guarantee(path)
}
