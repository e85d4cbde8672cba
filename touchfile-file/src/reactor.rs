//! Finding a runtime that watches descriptors.

use tokio::runtime::Handle;
use touchfile_core::runtime;

/// A runtime that watches descriptors: the current one, or the background one if there is none, or
/// if it was built without (`enable_time` alone); `None` if the system lets nobody watch.
pub(crate) fn reactor() -> Option<Handle> {
    runtime::with_io(watches_descriptors)
}

/// Whether the current runtime was built with `enable_io`.
///
/// tokio tells by a panic alone, so this is not asked at all where a panic would end the program.
fn watches_descriptors() -> bool {
    if cfg!(panic = "abort") {
        return false;
    }
    // An error is not an answer: there may be no descriptor left for the question.
    std::panic::catch_unwind(|| drop(tokio::net::UnixDatagram::unbound())).is_ok()
}
