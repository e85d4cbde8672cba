//! What a worker does by itself, where a line for each step would be too slow or too coarse.

use std::io;
use std::path::Path;

use tokio::runtime::Runtime;
use touchfile_core::BoxBackend;

/// Plays a scene, and says in words how it went.
pub(super) fn play(
    scene: &str,
    _backend: &BoxBackend,
    _runtime: &Runtime,
    _path: &Path,
    _words: &[String],
) -> io::Result<String> {
    Err(io::Error::other(format!("there is no scene {scene}")))
}
