//! Removing a temporary lock file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::trace::warn;

use super::thread::spawn;
use crate::queue::Queue;
use crate::runtime::{block_on, now_or_never};
use crate::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

/// Removes the file at `path` if nobody holds its lock, as its exclusive holder.
///
/// It is done right here, or if anything about it may block, on a thread that sees it through.
pub(crate) fn remove_if_free<B: LockBackend>(
    backend: &Arc<B>,
    path: &Path,
    queue: &Queue,
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create = false;
    options.remove_on_release = true;
    let (backend, path, queue) = (backend.clone(), path.to_owned(), queue.clone());
    let busy = || io::Error::new(io::ErrorKind::ResourceBusy, "somebody else holds it");
    let mut removal = Box::pin(async move {
        // A release of our own may still be going on elsewhere.
        let _permit = queue.enter(LockMode::Exclusive).await;
        if backend.open_may_block(&path, &options) {
            tokio::task::yield_now().await; // so that it goes on on the other thread
        }
        let mut handle = backend.open(&path, &options).await?;
        if handle.may_block() {
            tokio::task::yield_now().await;
        }
        match handle.try_lock(LockMode::Exclusive).await? {
            Attempt::Acquired => handle.unlock().await,
            Attempt::WouldBlock => Err(busy()),
        }
    });
    if let Some(done) = now_or_never(removal.as_mut()) {
        return done;
    }
    spawn(move || {
        if let Err(error) = block_on(removal) {
            warn!(target: "touchfile", %error, "a temporary lock file stays");
        }
    })
}
