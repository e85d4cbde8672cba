//! The one place where a backend on real files waits for a holder to let go.

use std::io;

use crate::Attempt;
use crate::backoff::Backoff;

/// Repeats `attempt` until it acquires.
///
/// Acquisition happens in no other place than inside `attempt`, which does not block: so a
/// dropped future has taken nothing, or `attempt` has told its owner that it did.
pub(super) async fn until_acquired(
    mut attempt: impl FnMut() -> io::Result<Attempt>,
) -> io::Result<()> {
    let mut backoff = Backoff::new();
    while attempt()? == Attempt::WouldBlock {
        backoff.pause().await;
    }
    Ok(())
}
