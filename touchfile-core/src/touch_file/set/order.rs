//! The one order in which all processes take several locks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::TouchFile;
use super::super::retry::Attempts;
use super::Patience;
use crate::{Error, LockBackend, LockHandle, LockMode, Result, runtime};

/// An identity, as [`LockHandle::identity`] says it.
type Identity = Option<Vec<u8>>;

/// How long a file system is waited for that may not answer when no time is left, as for a single lock.
const LEAST: Duration = Duration::from_secs(1);

/// The indexes of the locks in the order in which they are to be taken, with what each is on.
pub(super) async fn find<B: LockBackend>(
    wanted: &[(Arc<TouchFile<B>>, LockMode)],
    patience: Patience,
) -> Result<Vec<(usize, Identity)>> {
    let mut keys = Vec::with_capacity(wanted.len());
    for (index, (touch, mode)) in wanted.iter().enumerate() {
        let identity = match patience.left() {
            None => touch.identify(None).await?,
            Some(left) => match runtime::timeout(left.max(LEAST), touch.identify(Some(left))).await
            {
                Some(identity) => identity?,
                None => {
                    return Err(Error::Timeout {
                        path: touch.path().to_owned(),
                        mode: *mode,
                        permits: None,
                        waited: left,
                        holders: Vec::new(),
                        queued: false,
                        recursive: false,
                    });
                }
            },
        };
        // Without identities a name is the lock: the same text is the same lock.
        let name = match identity {
            Some(_) => PathBuf::new(),
            None => touch.path().to_owned(),
        };
        keys.push(((identity, name, touch.backend().name()), index));
    }
    keys.sort();
    for pair in keys.windows(2) {
        let [(one, first), (other, second)] = pair else {
            continue;
        };
        if one == other {
            let (first, second) = (&wanted[*first].0, &wanted[*second].0);
            return Err(Error::invalid_path(second.path(), same_as(first), None));
        }
    }
    let in_order = keys.into_iter();
    Ok(in_order.map(|((id, ..), index)| (index, id)).collect())
}

fn same_as<B: LockBackend>(first: &TouchFile<B>) -> String {
    let path = first.path().display();
    format!("it is the same lock as {path}, which is to be held at the same time; name it once")
}

impl<B: LockBackend> TouchFile<B> {
    /// What this locks at present, by the handle that the next acquisition takes.
    async fn identify(&self, left: Option<Duration>) -> Result<Identity> {
        let began = Instant::now();
        let mut attempts = Attempts::new(self.retry);
        let handle = loop {
            match self.idle.take() {
                Some(idle) => break idle,
                None => match self.open_handle(None).await {
                    Ok(handle) => break handle,
                    Err(error) => {
                        let left = left.map(|left| left.saturating_sub(began.elapsed()));
                        attempts.failed_with(error, left).await?;
                    }
                },
            }
        };
        let identity = handle.peek().and_then(LockHandle::identity);
        self.keep_idle(handle);
        Ok(identity)
    }
}
